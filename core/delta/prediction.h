// SPDX-License-Identifier: Apache-2.0
// What a block is predicted to be: what codecs get (made by predict.h).
#pragma once
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace tenpak::delta {

/// Views; the bytes belong to the caller.
struct Prediction {
    std::span<const std::byte> bytes{};      ///< empty: none. As long as the block for all codecs but "patch"
    /// Empty unless the prediction is low-rank: one a weight (low_rank.h). Bit 7: the sum lies nearer to the rounding boundary
    /// below it in magnitude; bits 0-6: the class that takes the place of the base's exponent as a context.
    std::span<const std::uint8_t> keys{};
    /// Weights in a row of the tensor, where known: rows differ in the size of their changes. 0: not known.
    std::uint64_t row_length = 0;
    std::uint64_t first_column = 0;          ///< column of the block's first weight

    Prediction() = default;
    Prediction(std::span<const std::byte> b) : bytes(b) {}         // NOLINT: the base's bytes are a prediction
    Prediction(const std::vector<std::byte>& b) : bytes(b) {}      // NOLINT
    Prediction(std::span<const std::byte> b, std::span<const std::uint8_t> k) : bytes(b), keys(k) {}
};

}  // namespace tenpak::delta

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
    std::span<const std::byte> bytes{};    ///< empty: none. As long as the block for all codecs but "patch"
    /// Empty unless the prediction is low-rank (low_rank.h): one a weight. Bits 0-6: its class, which chooses the context instead of
    /// the prediction's exponent. Bit 7 (mirror): the residual is negated before coding.
    std::span<const std::uint8_t> keys{};

    Prediction() = default;
    Prediction(std::span<const std::byte> b) : bytes(b) {}       // NOLINT: the base's bytes are a prediction
    Prediction(const std::vector<std::byte>& b) : bytes(b) {}    // NOLINT
    Prediction(std::span<const std::byte> b, std::span<const std::uint8_t> k) : bytes(b), keys(k) {}
};

inline constexpr unsigned kKeyRange = 128;
inline constexpr std::uint8_t kMirror = 0x80;

}  // namespace tenpak::delta

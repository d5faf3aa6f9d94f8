// SPDX-License-Identifier: Apache-2.0
// What a block is predicted to be.
#pragma once
#include <cstddef>
#include <cstdint>
#include <span>

namespace tenpak::delta {

struct Prediction {
    std::span<const std::byte> bytes = {};        ///< empty: none; else as long as the block
    /// Empty, or one a weight: bits 0-6 its class, which chooses the context instead of the prediction's exponent;
    /// bit 7 (mirror) says that the exact prediction lies below the rounded one in magnitude, so that the residual is
    /// negated before coding.
    std::span<const std::uint8_t> keys = {};
};

inline constexpr unsigned kKeyRange = 128;
inline constexpr std::uint8_t kMirror = 0x80;

}  // namespace tenpak::delta

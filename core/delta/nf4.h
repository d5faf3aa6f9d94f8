// SPDX-License-Identifier: Apache-2.0
// NF4 (Dettmers et al., "QLoRA", arXiv 2305.14314): groups of weights over their largest magnitude, rounded to the 16
// quantiles of a normal distribution, and back, as bitsandbytes holds a layer that a QLoRA was trained on and merged into.
// Single precision throughout, each operation rounded by itself: the same bits on every machine. FORMAT.md "Predictions"
// has the arithmetic in full.
#pragma once
#include <cstddef>
#include <cstdint>

namespace tenpak::delta {

struct Nf4 {
    std::uint32_t block = 64;   ///< weights that share a largest magnitude; a power of two, 32..4096
    std::uint32_t nested = 0;   ///< so many largest magnitudes share one of their own ("double quantization"); 0: none. A power of two, 2..4096
    float mean = 0;             ///< of the tensor's largest magnitudes: subtracted before they are quantized
    bool operator==(const Nf4&) const = default;
    /// What must be quantized together.
    std::uint64_t group() const { return nested == 0 ? block : std::uint64_t{block} * nested; }
};

/// Quantizes and dequantizes `n` weights. The first begins a group; the last group may be short.
/// A block without a finite largest magnitude above zero becomes zeros.
void nf4_round_trip(const float* weights, std::size_t n, const Nf4& format, float* out);
/// Adds the largest magnitudes of the blocks in `weights` (the last may be short): what `Nf4::mean` is the mean of.
void nf4_add_magnitudes(const float* weights, std::size_t n, std::uint32_t block, double& sum, std::uint64_t& blocks);

}  // namespace tenpak::delta

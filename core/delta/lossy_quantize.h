// SPDX-License-Identifier: Apache-2.0
// The arithmetic of the lossy codecs: a weight is rebuilt as base + q x scale. Everything that a decoder computes is exact
// in binary64 but for one addition and the rounding to the weight's type, both to nearest even: every machine rebuilds
// the same bits. FORMAT.md "Lossy codecs" has the definition.
#pragma once
#include <cstdint>
#include <span>
#include <vector>

#include "core/base/file.h"
#include "core/delta/float_layout.h"

namespace tenpak::delta {

/// A uniform quantizer whose step is doubled by quarter octaves in groups that need it.
struct Quantizer {
    unsigned most = 127;             ///< largest |q|: 127 or 7
    unsigned group_log2 = 7;         ///< weights that share a scale, 4..12
    std::uint16_t step = 0x3f80;     ///< bf16, positive and normal
    std::uint8_t shrink_one = 0;     ///< |q| = 1 is rebuilt as 1 - shrink_one / 256, 0..128
    std::uint8_t shrink_more = 0;    ///< larger ones as |q| - shrink_more / 256
    double threshold = 0.5;          ///< in scales: changes below are dropped. The encoder's choice, not stored
    double step_value() const;
};

/// Scale of a group, in quarter octaves above the step.
inline constexpr unsigned kMostScaleCode = 63;
/// step x 2^(code/4), the quarters as 1, 1.1875, 1.40625, 1.6875: exact in binary64.
double group_scale(std::uint16_t step, unsigned code);

struct Quantized {
    std::vector<std::int8_t> q;
    std::vector<std::uint8_t> codes;  ///< [group]
};
/// False where a weight is not finite, in either, or a group would need a scale beyond the largest, or a result would overflow.
bool quantize(std::span<const std::byte> base, std::span<const std::byte> weights, FloatKind kind, const Quantizer& z, Quantized& out);
/// All spans fit each other. A base weight that is not finite stays as it is.
void dequantize(std::span<const std::byte> base, FloatKind kind, const Quantizer& z, const Quantized& in, std::span<std::byte> out);

/// Signs with a scale for each group of `group` weights; the first group is `first` weights shorter.
struct SignGroups {
    std::uint64_t group = 0, first = 0;
    std::uint64_t count(std::uint64_t weights) const { return (first + weights + group - 1) / group; }
};
/// Scale: the mean of |change|, which makes the squared error smallest; bf16. False where a weight is not finite or would overflow.
bool quantize_signs(std::span<const std::byte> base, std::span<const std::byte> weights, FloatKind kind, const SignGroups& groups,
                    std::vector<std::uint16_t>& scales, std::vector<std::uint8_t>& bits);
void dequantize_signs(std::span<const std::byte> base, FloatKind kind, const SignGroups& groups, std::span<const std::uint16_t> scales,
                      std::span<const std::uint8_t> bits, std::span<std::byte> out);

/// What a block lost.
struct ErrorSums {
    double max_abs = 0;
    double error2 = 0;   ///< sum of (rebuilt - weight)^2
    double change2 = 0;  ///< sum of (weight - base)^2
    double weight2 = 0;  ///< sum of weight^2
    void add(const ErrorSums& o);
    double relative() const;        ///< sqrt(error2 / weight2), 0 where there is nothing
    double change_relative() const; ///< sqrt(error2 / change2)
};
/// Finite weights only are counted. `base` may be empty: nothing is known of the change.
ErrorSums measure_error(std::span<const std::byte> base, std::span<const std::byte> weights, std::span<const std::byte> rebuilt, FloatKind kind);

/// Exponent fields of the base's weights as words of a "base" for a weights payload that codes q: the context of a change
/// is the unit in the last place that it was rounded to. max(exponent, 1) << 7.
void exponent_words(std::span<const std::byte> base, FloatKind kind, std::vector<std::uint16_t>& words);

}  // namespace tenpak::delta

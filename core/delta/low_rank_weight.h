// SPDX-License-Identifier: Apache-2.0
// One weight of the low-rank predictor in plain C++: the definition that every vector kernel and the CUDA kernel must
// reproduce bit for bit, and what they use for the last weights of a row.
#pragma once
#include <bit>
#include <cstdint>

#include "core/base/half.h"
#include "core/delta/low_rank.h"

namespace tenpak::delta {

struct PredictedWeight {
    std::uint32_t bits = 0;
    std::uint8_t key = 0;
};

inline constexpr unsigned mantissa_bits(FloatKind k) {
    return k == FloatKind::kBf16 ? 7u : k == FloatKind::kFp16 ? 10u : 23u;
}

/// Class from the distance `d` >= 0 of the exact sum to the nearest rounding boundary and the biased exponent of the
/// unit in the last place (fp32's bias), both absolute.
inline std::uint8_t key_class(float d, std::int32_t unit_field, std::int32_t noise) {
    const auto level =
        static_cast<std::int32_t>(std::bit_cast<std::uint32_t>(d) >> 21);  // log2, quarter octaves, bias 508
    const auto clamp = [](std::int32_t v, std::int32_t top) { return v < 0 ? 0 : v > top ? top : v; };
    const std::int32_t octave = 7 - 4 * unit_field + noise;  // below 0: the unit is at least four times the noise
    if (octave < 0) return static_cast<std::uint8_t>(clamp(level - noise + 7, 15));
    const std::int32_t o = octave >> 2;
    if (o < 3) return static_cast<std::uint8_t>(16 + 8 * o + clamp(level - 4 * unit_field + 11, 7));
    return static_cast<std::uint8_t>(40 + clamp(o - 3, 15));
}

/// `sum`: the integer product; `scale`: 2^exponent.
inline PredictedWeight predict_weight(double sum, double scale, std::uint32_t base, FloatKind kind, MergeRounding merge,
                                      std::int32_t noise) {
    const unsigned m = mantissa_bits(kind);
    const std::uint32_t sign = kind == FloatKind::kFp32 ? 0x80000000u : 0x8000u,
                        infinite = kind == FloatKind::kBf16   ? 0x7f80u
                                   : kind == FloatKind::kFp16 ? 0x7c00u
                                                              : 0x7f800000u;
    if ((base & (sign - 1)) >= infinite) return {base, 0};
    double delta = sum * scale;
    if (merge == MergeRounding::kBf16)
        delta = static_cast<double>(bf16_to_float(float_to_bf16(static_cast<float>(delta))));
    if (merge == MergeRounding::kFp16)
        delta = static_cast<double>(fp16_to_float(float_to_fp16(static_cast<float>(delta))));
    const float b = kind == FloatKind::kBf16   ? bf16_to_float(static_cast<std::uint16_t>(base))
                    : kind == FloatKind::kFp16 ? fp16_to_float(static_cast<std::uint16_t>(base))
                                               : std::bit_cast<float>(base);
    const double x = static_cast<double>(b) + delta;
    const auto f = static_cast<float>(x);
    const std::uint32_t f_bits = std::bit_cast<std::uint32_t>(f);
    const std::uint32_t p = kind == FloatKind::kBf16   ? float_to_bf16(f)
                            : kind == FloatKind::kFp16 ? float_to_fp16(f)
                                                       : f_bits;
    if ((p & (sign - 1)) >= infinite) return {p, 0};
    // Distance to the boundary half a unit away from the prediction; the unit is that of the sum's own binade.
    const auto field = static_cast<std::int32_t>(f_bits >> 23 & 0xffu);
    std::int32_t unit = field - static_cast<std::int32_t>(m);
    const std::int32_t least =
        kind == FloatKind::kFp16 ? 103 : 2;  // fp16's subnormals; elsewhere: half a unit stays a normal number
    if (unit < least) unit = least;
    float over;  // how far the sum lies beyond the prediction, in magnitude
    if (kind == FloatKind::kFp32) {
        const double g = static_cast<double>(f);
        over = static_cast<float>((x < 0 ? -x : x) - (g < 0 ? -g : g));
    } else {
        const float g = kind == FloatKind::kBf16 ? bf16_to_float(static_cast<std::uint16_t>(p))
                                                 : fp16_to_float(static_cast<std::uint16_t>(p));
        over = std::bit_cast<float>(f_bits & 0x7fffffffu) -
               std::bit_cast<float>(std::bit_cast<std::uint32_t>(g) & 0x7fffffffu);
    }
    const float half = std::bit_cast<float>(static_cast<std::uint32_t>(unit - 1) << 23);
    const float d = half - std::bit_cast<float>(std::bit_cast<std::uint32_t>(over) & 0x7fffffffu);
    const std::uint8_t mirror = over < 0 ? 128 : 0;
    return {p, static_cast<std::uint8_t>(mirror | key_class(d > 0 ? d : 0.0f, unit, noise))};
}

}  // namespace tenpak::delta

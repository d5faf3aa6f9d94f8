// SPDX-License-Identifier: Apache-2.0
// FP8 E4M3FN (Micikevicius et al., "FP8 Formats for Deep Learning", arXiv 2209.05433): 4 exponent bits of bias 7, 3 mantissa
// bits, no infinity, NaN is 0x7f and 0xff, the largest value is 448.
#pragma once
#include <bit>
#include <cstdint>

namespace tenpak {

inline constexpr float kE4m3Max = 448.0f;

inline float e4m3_to_float(std::uint8_t b) {
    const std::uint32_t sign = static_cast<std::uint32_t>(b & 0x80u) << 24;
    const std::uint32_t exp = b >> 3 & 15u, man = b & 7u;
    if (exp == 15 && man == 7) return std::bit_cast<float>(sign | 0x7fc00000u);
    if (exp != 0) return std::bit_cast<float>(sign | (exp + 120) << 23 | man << 20);
    const float v = static_cast<float>(man) * 0x1p-9f;  // subnormal
    return std::bit_cast<float>(std::bit_cast<std::uint32_t>(v) | sign);
}

/// Round to nearest even; magnitudes above 448 become 448 (as serving engines clamp), NaN stays NaN.
inline std::uint8_t float_to_e4m3(float f) {
    const auto u = std::bit_cast<std::uint32_t>(f);
    const auto sign = static_cast<std::uint8_t>(u >> 24 & 0x80u);
    const std::uint32_t a = u & 0x7fffffffu;
    if (a > 0x7f800000u) return static_cast<std::uint8_t>(sign | 0x7fu);
    if (a >= 0x43e00000u) return static_cast<std::uint8_t>(sign | 0x7eu);  // 448 and more
    if (a < 0x3c800000u) {  // below 2^-6, the smallest normal: adding 2^14 puts 2^-9 at the last fp32 mantissa bit
        const float r = std::bit_cast<float>(a) + 0x1p14f;
        return static_cast<std::uint8_t>(sign | (std::bit_cast<std::uint32_t>(r) - 0x46800000u));
    }
    const std::uint32_t r = a - 0x3c000000u + 0x7ffffu + (a >> 20 & 1u);
    return static_cast<std::uint8_t>(sign | r >> 20);
}

}  // namespace tenpak

// SPDX-License-Identifier: Apache-2.0
// bf16 and fp16 (IEEE 754 binary16) to and from fp32, bit-exact, round to nearest even, NaN kept quiet.
#pragma once
#include <bit>
#include <cstdint>

namespace tenpak {

inline float bf16_to_float(std::uint16_t b) { return std::bit_cast<float>(static_cast<std::uint32_t>(b) << 16); }
inline std::uint16_t float_to_bf16(float f) {
    const auto u = std::bit_cast<std::uint32_t>(f);
    if ((u & 0x7fffffffu) > 0x7f800000u) return static_cast<std::uint16_t>(u >> 16 | 0x40u);
    return static_cast<std::uint16_t>((u + 0x7fffu + (u >> 16 & 1u)) >> 16);
}
inline float fp16_to_float(std::uint16_t h) {
    const std::uint32_t sign = static_cast<std::uint32_t>(h & 0x8000u) << 16;
    const std::uint32_t exp = h >> 10 & 0x1fu, man = h & 0x3ffu;
    if (exp == 0x1f) return std::bit_cast<float>(sign | 0x7f800000u | man << 13);
    if (exp != 0) return std::bit_cast<float>(sign | (exp + 112) << 23 | man << 13);
    const float v = static_cast<float>(man) * 0x1p-24f;  // subnormal: exact in fp32
    return std::bit_cast<float>(std::bit_cast<std::uint32_t>(v) | sign);
}
inline std::uint16_t float_to_fp16(float f) {
    const auto u = std::bit_cast<std::uint32_t>(f);
    const auto sign = static_cast<std::uint16_t>(u >> 16 & 0x8000u);
    const std::uint32_t a = u & 0x7fffffffu;
    if (a > 0x7f800000u) return static_cast<std::uint16_t>(sign | 0x7e00u | (a >> 13 & 0x3ffu));
    if (a >= 0x47800000u) return static_cast<std::uint16_t>(sign | 0x7c00u);  // 65536 and more, infinity
    if (a < 0x38800000u) {                                                    // result is subnormal or zero
        // Adding 0.5 puts the fp16 subnormal grid (2^-24) at the last fp32 mantissa bit: the adder rounds to even.
        const float r = std::bit_cast<float>(a) + 0.5f;
        return static_cast<std::uint16_t>(sign | (std::bit_cast<std::uint32_t>(r) - 0x3f000000u));
    }
    const std::uint32_t r = a - 0x38000000u + 0xfffu + (a >> 13 & 1u);
    return static_cast<std::uint16_t>(sign | r >> 13);  // a carry into 0x7c00 is the correct overflow to infinity
}

}  // namespace tenpak

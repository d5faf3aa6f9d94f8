// SPDX-License-Identifier: Apache-2.0
#include "core/tensor/ggml_types.h"

#include <cstring>

#include "core/base/half.h"

namespace tenpak {
namespace {

constexpr std::uint32_t kSuper = 256;  // weights of a block of the K types

using Byte = unsigned char;

float half_at(const Byte* p) {
    std::uint16_t h;
    std::memcpy(&h, p, 2);
    return fp16_to_float(h);
}

// The two halves of a 32-weight block are the low and the high nibbles of its 16 bytes.
unsigned nibble(const Byte* q, unsigned i) { return i < 16 ? q[i] & 15u : q[i - 16] >> 4; }

void q4_0(const Byte* b, float* out) {
    const float d = half_at(b);
    for (unsigned i = 0; i < 32; ++i) out[i] = d * static_cast<float>(static_cast<int>(nibble(b + 2, i)) - 8);
}

void q4_1(const Byte* b, float* out) {
    const float d = half_at(b), m = half_at(b + 2);
    for (unsigned i = 0; i < 32; ++i) {
        const float product = d * static_cast<float>(nibble(b + 4, i));
        out[i] = product + m;
    }
}

unsigned fifth_bit(const Byte* high, unsigned i) { return (high[i / 8] >> (i % 8) & 1u) << 4; }

void q5_0(const Byte* b, float* out) {
    const float d = half_at(b);
    for (unsigned i = 0; i < 32; ++i) out[i] = d * static_cast<float>(static_cast<int>(nibble(b + 6, i) | fifth_bit(b + 2, i)) - 16);
}

void q5_1(const Byte* b, float* out) {
    const float d = half_at(b), m = half_at(b + 2);
    for (unsigned i = 0; i < 32; ++i) {
        const float product = d * static_cast<float>(nibble(b + 8, i) | fifth_bit(b + 4, i));
        out[i] = product + m;
    }
}

void q8_0(const Byte* b, float* out) {
    const float d = half_at(b);
    for (unsigned i = 0; i < 32; ++i) out[i] = static_cast<float>(static_cast<std::int8_t>(b[2 + i])) * d;
}

// 16 scales and minima of 4 bits, codes of 2: four planes of 32 to each 32 bytes.
void q2_k(const Byte* b, float* out) {
    const float d = half_at(b + 80), dmin = half_at(b + 82);
    for (unsigned i = 0; i < kSuper; ++i) {
        const unsigned s = b[i / 16], q = b[16 + i / 128 * 32 + i % 32] >> (i / 32 % 4 * 2) & 3u;
        const float scale = d * static_cast<float>(s & 15u), least = dmin * static_cast<float>(s >> 4);
        const float product = scale * static_cast<float>(q);
        out[i] = product - least;
    }
}

// 16 scales of 6 bits: low nibbles in bytes 0 to 7, two high bits in bytes 8 to 11. A third bit of the codes in hmask:
// where it is clear, 4 is subtracted.
void q3_k(const Byte* b, float* out) {
    const Byte *mask = b, *codes = b + 32, *packed = b + 96;
    const float d = half_at(b + 108);
    for (unsigned i = 0; i < kSuper; ++i) {
        const unsigned j = i / 16;
        const unsigned low = j < 8 ? packed[j] & 15u : packed[j - 8] >> 4, high = packed[8 + j % 4] >> (j / 4 * 2) & 3u;
        const float scale = d * static_cast<float>(static_cast<int>(low | high << 4) - 32);
        const unsigned q = codes[i / 128 * 32 + i % 32] >> (i / 32 % 4 * 2) & 3u;
        const bool set = (mask[i % 32] >> (i / 32) & 1u) != 0;
        out[i] = scale * static_cast<float>(static_cast<int>(q) - (set ? 0 : 4));
    }
}

// Scale and minimum of eight parts, 6 bits each, in 12 bytes.
struct ScaleMin {
    unsigned scale, least;
};
ScaleMin scale_min(const Byte* p, unsigned j) {
    if (j < 4) return {p[j] & 63u, p[4 + j] & 63u};
    return {(p[4 + j] & 15u) | (p[j - 4] >> 2 & 0x30u), static_cast<unsigned>(p[4 + j] >> 4) | (p[j] >> 2 & 0x30u)};
}

void q4_k(const Byte* b, float* out) {
    const float d = half_at(b), dmin = half_at(b + 2);
    for (unsigned j = 0; j < 8; ++j) {
        const ScaleMin s = scale_min(b + 4, j);
        const float scale = d * static_cast<float>(s.scale), least = dmin * static_cast<float>(s.least);
        for (unsigned i = 0; i < 32; ++i) {
            const float product = scale * static_cast<float>(b[16 + j / 2 * 32 + i] >> (j % 2 * 4) & 15u);
            out[32 * j + i] = product - least;
        }
    }
}

void q5_k(const Byte* b, float* out) {
    const float d = half_at(b), dmin = half_at(b + 2);
    for (unsigned j = 0; j < 8; ++j) {
        const ScaleMin s = scale_min(b + 4, j);
        const float scale = d * static_cast<float>(s.scale), least = dmin * static_cast<float>(s.least);
        for (unsigned i = 0; i < 32; ++i) {
            const unsigned q = (b[48 + j / 2 * 32 + i] >> (j % 2 * 4) & 15u) | (b[16 + i] >> j & 1u) << 4;
            const float product = scale * static_cast<float>(q);
            out[32 * j + i] = product - least;
        }
    }
}

void q6_k_parts(const Byte* b, std::int8_t* codes, float* scales) {
    const float d = half_at(b + 208);
    for (unsigned j = 0; j < 16; ++j) scales[j] = d * static_cast<float>(static_cast<std::int8_t>(b[192 + j]));
    for (unsigned i = 0; i < kSuper; ++i) {
        const unsigned half = i / 128, within = i % 128;
        const unsigned low = b[half * 64 + within % 64] >> (within / 64 * 4) & 15u;
        const unsigned high = b[128 + half * 32 + within % 32] >> (within / 32 * 2) & 3u;
        codes[i] = static_cast<std::int8_t>(static_cast<int>(low | high << 4) - 32);
    }
}

void q6_k(const Byte* b, float* out) {
    std::int8_t codes[kSuper];
    float scales[kSuper / 16];
    q6_k_parts(b, codes, scales);
    for (unsigned i = 0; i < kSuper; ++i) out[i] = scales[i / 16] * static_cast<float>(codes[i]);
}

constexpr int kIq4[16] = {-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113};

void iq4_nl(const Byte* b, float* out) {
    const float d = half_at(b);
    for (unsigned i = 0; i < 32; ++i) out[i] = d * static_cast<float>(kIq4[nibble(b + 2, i)]);
}

// Eight scales of 6 bits: two high bits each in bytes 2 and 3, low nibbles in bytes 4 to 7.
void iq4_xs(const Byte* b, float* out) {
    const float d = half_at(b);
    const unsigned high = b[2] | static_cast<unsigned>(b[3]) << 8;
    for (unsigned j = 0; j < 8; ++j) {
        const unsigned bits = (b[4 + j / 2] >> (j % 2 * 4) & 15u) | (high >> (2 * j) & 3u) << 4;
        const float scale = d * static_cast<float>(static_cast<int>(bits) - 32);
        for (unsigned i = 0; i < 32; ++i) out[32 * j + i] = scale * static_cast<float>(kIq4[nibble(b + 8 + 16 * j, i)]);
    }
}

void f32(const Byte* b, float* out) { std::memcpy(out, b, 4); }
void f16(const Byte* b, float* out) { *out = half_at(b); }
void bf16(const Byte* b, float* out) {
    std::uint16_t h;
    std::memcpy(&h, b, 2);
    *out = bf16_to_float(h);
}

struct Row {
    GgmlType type;
    GgmlTypeInfo info;
    void (*block)(const Byte*, float*);
};
constexpr Row kRows[] = {
    {GgmlType::kF32, {"F32", 1, 4, true}, f32},
    {GgmlType::kF16, {"F16", 1, 2, true}, f16},
    {GgmlType::kBF16, {"BF16", 1, 2, true}, bf16},
    {GgmlType::kQ4_0, {"Q4_0", 32, 18, true}, q4_0},
    {GgmlType::kQ4_1, {"Q4_1", 32, 20, true}, q4_1},
    {GgmlType::kQ5_0, {"Q5_0", 32, 22, true}, q5_0},
    {GgmlType::kQ5_1, {"Q5_1", 32, 24, true}, q5_1},
    {GgmlType::kQ8_0, {"Q8_0", 32, 34, true}, q8_0},
    {GgmlType::kQ8_1, {"Q8_1", 32, 36, false}, nullptr},
    {GgmlType::kQ2_K, {"Q2_K", 256, 84, true}, q2_k},
    {GgmlType::kQ3_K, {"Q3_K", 256, 110, true}, q3_k},
    {GgmlType::kQ4_K, {"Q4_K", 256, 144, true}, q4_k},
    {GgmlType::kQ5_K, {"Q5_K", 256, 176, true}, q5_k},
    {GgmlType::kQ6_K, {"Q6_K", 256, 210, true}, q6_k},
    {GgmlType::kQ8_K, {"Q8_K", 256, 292, false}, nullptr},
    {GgmlType::kIq4Nl, {"IQ4_NL", 32, 18, true}, iq4_nl},
    {GgmlType::kIq4Xs, {"IQ4_XS", 256, 136, true}, iq4_xs},
    {GgmlType::kIq1S, {"IQ1_S", 256, 50, false}, nullptr},
    {GgmlType::kIq1M, {"IQ1_M", 256, 56, false}, nullptr},
    {GgmlType::kIq2Xxs, {"IQ2_XXS", 256, 66, false}, nullptr},
    {GgmlType::kIq2Xs, {"IQ2_XS", 256, 74, false}, nullptr},
    {GgmlType::kIq2S, {"IQ2_S", 256, 82, false}, nullptr},
    {GgmlType::kIq3Xxs, {"IQ3_XXS", 256, 98, false}, nullptr},
    {GgmlType::kIq3S, {"IQ3_S", 256, 110, false}, nullptr},
    {GgmlType::kTq1_0, {"TQ1_0", 256, 54, false}, nullptr},
    {GgmlType::kTq2_0, {"TQ2_0", 256, 66, false}, nullptr},
    {GgmlType::kMxfp4, {"MXFP4", 32, 17, false}, nullptr},
    {GgmlType::kI8, {"I8", 1, 1, false}, nullptr},
    {GgmlType::kI16, {"I16", 1, 2, false}, nullptr},
    {GgmlType::kI32, {"I32", 1, 4, false}, nullptr},
    {GgmlType::kI64, {"I64", 1, 8, false}, nullptr},
    {GgmlType::kF64, {"F64", 1, 8, false}, nullptr},
};

const Row* find_row(std::uint32_t type) {
    for (const Row& r : kRows) {
        if (static_cast<std::uint32_t>(r.type) == type) return &r;
    }
    return nullptr;
}

}  // namespace

const GgmlTypeInfo* ggml_type_info(std::uint32_t type) {
    const Row* r = find_row(type);
    return r == nullptr ? nullptr : &r->info;
}

void dequantize_blocks(GgmlType type, const std::byte* in, std::size_t blocks, float* out) {
    const Row& r = *find_row(static_cast<std::uint32_t>(type));
    const auto* b = reinterpret_cast<const Byte*>(in);
    for (std::size_t i = 0; i < blocks; ++i) r.block(b + i * r.info.bytes, out + i * r.info.weights);
}

void unpack_q6_k(const std::byte* in, std::size_t blocks, std::int8_t* codes, float* scales) {
    const auto* b = reinterpret_cast<const Byte*>(in);
    for (std::size_t i = 0; i < blocks; ++i) q6_k_parts(b + i * 210, codes + i * kSuper, scales + i * (kSuper / 16));
}

}  // namespace tenpak

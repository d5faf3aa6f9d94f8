// SPDX-License-Identifier: Apache-2.0
// AVX-512 VNNI: which product a format has, and activations as its operands.
#include <immintrin.h>

#include <algorithm>
#include <cmath>
#include <cstring>

#include "core/compute/cpu/kernels.h"

namespace tenpak::compute::cpu {
namespace {

constexpr float kInt16Top = 127 * 256.0f;

void integer(const Panels& w, const Tile& tile, const IntegerBlocks& x, unsigned parts, float* y, std::size_t ldy, void* scratch) {
    switch (w.format) {
        case WeightFormat::kInt4Group: return vnni_int4(w, tile, x, parts, y, ldy);
        case WeightFormat::kInt8Group:
        case WeightFormat::kInt8Channel: return vnni_int8(w, tile, x, parts, y, ldy);
        case WeightFormat::kInt4Residual: return vnni_residual(w, tile, x, parts, y, ldy);
        case WeightFormat::kInt4Sparse: return vnni_sparse(w, tile, x, parts, y, ldy, scratch);
        case WeightFormat::kNf4Group: return vnni_nf4(w, tile, x, y, ldy);  // 8-bit activations only
        case WeightFormat::kF32:
        case WeightFormat::kBF16:
        case WeightFormat::kF16:
        case WeightFormat::kFp8Channel: return;
    }
}

/// Sixteen columns of one token: four columns of each part after the other, a quad `step` bytes behind the one before.
template <int Parts>
inline void store_columns(const __m512i (&part)[Parts], std::size_t quads, std::size_t step, std::int8_t* to) {
    const __m128i a = _mm512_cvtepi32_epi8(part[0]), b = _mm512_cvtepi32_epi8(part[Parts - 1]);
    const auto put = [&](std::size_t q, int high, int low) {
        std::memcpy(to + q * step, &high, 4);
        if constexpr (Parts == 2) std::memcpy(to + q * step + 4, &low, 4);
    };
    if (quads == 4 && step == 4 * Parts) {  // one token
        if constexpr (Parts == 2) {
            _mm_storeu_si128(reinterpret_cast<__m128i*>(to), _mm_unpacklo_epi32(a, b));
            _mm_storeu_si128(reinterpret_cast<__m128i*>(to + 16), _mm_unpackhi_epi32(a, b));
        } else {
            _mm_storeu_si128(reinterpret_cast<__m128i*>(to), a);
        }
        return;
    }
    put(0, _mm_extract_epi32(a, 0), _mm_extract_epi32(b, 0));
    if (quads > 1) put(1, _mm_extract_epi32(a, 1), _mm_extract_epi32(b, 1));
    if (quads > 2) put(2, _mm_extract_epi32(a, 2), _mm_extract_epi32(b, 2));
    if (quads > 3) put(3, _mm_extract_epi32(a, 3), _mm_extract_epi32(b, 3));
}

template <int Parts>
void pack(const Panels& w, const float* x, std::uint32_t count, std::int8_t* codes, float* scales, std::int32_t* offsets) {
    const std::size_t group = w.grouped() ? w.group : w.columns, padded = w.grouped() ? w.group_padded : w.padded;
    const float top = Parts == 2 ? kInt16Top : 127.0f;
    // The weight's codes are those of the unsigned operand: their zero point times the sum of x is taken off in advance.
    const std::int32_t zero = w.format == WeightFormat::kInt4Group ? (w.symmetric ? 8 : 1) : w.format == WeightFormat::kInt4Residual ? (w.symmetric ? 32 : 1) : 128;
    const std::size_t step = std::size_t{4} * count * Parts, whole = group / 16 * 16;
    const auto tail = static_cast<__mmask16>((1u << (group - whole)) - 1u);
    for (std::uint32_t t = 0; t < count; ++t, x += w.columns) {
        std::int8_t* to = codes + t * 4 * Parts;
        const float* from = x;
        for (std::size_t g = 0; g < w.groups; ++g, from += group) {
            __m512 largest = _mm512_setzero_ps();
            for (std::size_t c = 0; c < whole; c += 16) largest = _mm512_max_ps(largest, _mm512_abs_ps(_mm512_loadu_ps(from + c)));
            if (tail != 0) largest = _mm512_max_ps(largest, _mm512_abs_ps(_mm512_maskz_loadu_ps(tail, from + whole)));
            const float m = _mm512_reduce_max_ps(largest);
            const __m512 inverse = _mm512_set1_ps(m > 0 ? top / m : 0.0f);
            __m512i high_sum = _mm512_setzero_si512(), low_sum = _mm512_setzero_si512();
            const auto convert = [&](const __m512& v, std::size_t quads) {
                __m512i part[Parts];
                part[0] = _mm512_cvtps_epi32(_mm512_mul_ps(v, inverse));
                if constexpr (Parts == 2) {
                    const __m512i high = _mm512_srai_epi32(_mm512_add_epi32(part[0], _mm512_set1_epi32(128)), 8);
                    part[1] = _mm512_sub_epi32(part[0], _mm512_slli_epi32(high, 8));
                    part[0] = high;
                    low_sum = _mm512_add_epi32(low_sum, part[1]);
                }
                high_sum = _mm512_add_epi32(high_sum, part[0]);
                store_columns<Parts>(part, quads, step, to);
                to += quads * step;
            };
            for (std::size_t c = 0; c < whole; c += 16) convert(_mm512_loadu_ps(from + c), 4);
            if (padded > whole) convert(_mm512_maskz_loadu_ps(tail, from + whole), std::min<std::size_t>(4, (padded - whole) / 4));
            for (std::size_t c = whole + 16; c < padded; c += 16) convert(_mm512_setzero_ps(), std::min<std::size_t>(4, (padded - c) / 4));
            scales[g * count + t] = m / top;
            offsets[g * Parts * count + t] = -zero * _mm512_reduce_add_epi32(high_sum);
            if constexpr (Parts == 2) offsets[(g * Parts + 1) * count + t] = -zero * _mm512_reduce_add_epi32(low_sum);
        }
    }
}

void pack_integers(const Panels& w, const float* x, std::uint32_t count, unsigned parts, std::int8_t* codes, float* scales, std::int32_t* offsets) {
    if (parts == 2) pack<2>(w, x, count, codes, scales, offsets);
    else pack<1>(w, x, count, codes, scales, offsets);
}

}  // namespace

const Kernels& kernels_vnni() {
    static const Kernels table = [] {
        Kernels k = kernels_avx512();
        k.name = "AVX-512 VNNI";  // float_name stays
        k.integer = integer;
        k.pack_integers = pack_integers;
        return k;
    }();
    return table;
}

}  // namespace tenpak::compute::cpu

// SPDX-License-Identifier: Apache-2.0
// AVX-512 VNNI: 64 products of bytes an instruction. int8 per channel runs on it directly; for grouped weights, whose
// activations must keep their precision, an activation is a 16-bit integer and costs two of these instructions, which is
// still half of what its fp32 product costs.
#include <immintrin.h>

#include <algorithm>
#include <cmath>
#include <cstring>

#include "core/compute/cpu/kernels.h"

namespace tenpak::compute::cpu {
namespace {

inline __m512i broadcast4(const std::int8_t* p) {
    std::int32_t v;
    std::memcpy(&v, p, 4);
    return _mm512_set1_epi32(v);
}

inline void store_rows(const Panels& w, std::size_t panel, __m512 acc, float* y) {
    if (!w.bias.empty()) acc = _mm512_add_ps(acc, _mm512_loadu_ps(w.bias.data() + panel * kLanes));
    const std::size_t row = panel * kLanes, left = w.rows - row;
    const auto mask = static_cast<__mmask16>(left >= kLanes ? 0xffffu : (1u << left) - 1u);
    _mm512_mask_storeu_ps(y + row, mask, acc);
}

// --- int8 per channel ---------------------------------------------------------------------------------------------------

template <int P, int T>
void int8_block(const Panels& w, std::size_t first, const Int8Rows& x, std::uint32_t t0, float* y, std::size_t ldy) {
    __m512i acc[P][T];
    const std::uint8_t* p[P];
    const std::int8_t* rows[T];
    for (int a = 0; a < P; ++a) {
        p[a] = w.panel(first + static_cast<std::size_t>(a));
        for (int t = 0; t < T; ++t) acc[a][t] = _mm512_setzero_si512();
    }
    for (int t = 0; t < T; ++t) rows[t] = x.codes + (t0 + static_cast<std::size_t>(t)) * x.stride;
    const __m512i offset = _mm512_set1_epi32(static_cast<std::int32_t>(0x80808080u));
    for (std::size_t c = 0; c < w.padded; c += 4) {
        __m512i v[P];
        _Pragma("GCC unroll 8") for (int a = 0; a < P; ++a) v[a] = _mm512_load_si512(p[a] + c * kLanes);
        _Pragma("GCC unroll 8") for (int t = 0; t < T; ++t) {
            const __m512i u = _mm512_xor_si512(broadcast4(rows[t] + c), offset);  // x + 128, unsigned
            _Pragma("GCC unroll 8") for (int a = 0; a < P; ++a) acc[a][t] = _mm512_dpbusd_epi32(acc[a][t], u, v[a]);
        }
    }
    for (int a = 0; a < P; ++a) {
        const std::size_t panel = first + static_cast<std::size_t>(a);
        const __m512i correction = _mm512_slli_epi32(_mm512_loadu_si512(w.row_sums.data() + panel * kLanes), 7);
        const __m512 scale = _mm512_loadu_ps(w.row_scales.data() + panel * kLanes);
        for (int t = 0; t < T; ++t) {
            const std::size_t token = t0 + static_cast<std::size_t>(t);
            const __m512 f = _mm512_cvtepi32_ps(_mm512_sub_epi32(acc[a][t], correction));
            store_rows(w, panel, _mm512_mul_ps(f, _mm512_mul_ps(scale, _mm512_set1_ps(x.scales[token]))), y + token * ldy);
        }
    }
}

template <int P>
void int8_panels(const Panels& w, std::size_t first, const Int8Rows& x, std::uint32_t tokens, float* y, std::size_t ldy) {
    std::uint32_t t = 0;
    for (; t + 6 <= tokens; t += 6) int8_block<P, 6>(w, first, x, t, y, ldy);
    for (; t + 2 <= tokens; t += 2) int8_block<P, 2>(w, first, x, t, y, ldy);
    if (t < tokens) int8_block<P, 1>(w, first, x, t, y, ldy);
}

void int8(const Panels& w, std::size_t first, std::size_t last, const Int8Rows& x, std::uint32_t tokens, float* y, std::size_t ldy) {
    std::size_t p = first;
    if (tokens == 1) {
        for (; p + 8 <= last; p += 8) int8_block<8, 1>(w, p, x, 0, y, ldy);
    }
    for (; p + 4 <= last; p += 4) int8_panels<4>(w, p, x, tokens, y, ldy);
    for (; p < last; ++p) int8_panels<1>(w, p, x, tokens, y, ldy);
}

// --- grouped weights ----------------------------------------------------------------------------------------------------

inline __m512 load_scales(const Panels& w, const std::uint8_t* header) {
    switch (w.scale_kind) {
        case ScaleKind::kBF16: return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(header))), 16));
        case ScaleKind::kF16: return _mm512_cvtph_ps(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(header)));
        case ScaleKind::kF32: break;
    }
    return _mm512_loadu_ps(header);
}

/// One vector of 4 columns (int8) or two of them (int4) as unsigned bytes.
template <bool Int4>
inline void load_codes(const std::uint8_t* p, __m512i (&v)[Int4 ? 2 : 1]) {
    const __m512i raw = _mm512_load_si512(p);
    if constexpr (Int4) {
        const __m512i nibble = _mm512_set1_epi8(0x0f);
        v[0] = _mm512_and_si512(raw, nibble);
        v[1] = _mm512_and_si512(_mm512_srli_epi16(raw, 4), nibble);
    } else {
        v[0] = _mm512_xor_si512(raw, _mm512_set1_epi8(static_cast<char>(0x80)));
    }
}

template <bool Int4, int P, int T>
void grouped_block(const Panels& w, std::size_t first, const Int16Rows& x, std::uint32_t t0, float* y, std::size_t ldy) {
    constexpr int kHalves = Int4 ? 2 : 1;
    constexpr std::size_t kColumns = Int4 ? 8 : 4;
    const std::size_t header = w.header_bytes(), zeros_at = w.scale_kind == ScaleKind::kF32 ? 64 : 32;
    __m512 acc[P][T];
    const std::uint8_t* p[P];
    const std::int8_t *hi[T], *lo[T];
    for (int a = 0; a < P; ++a) {
        p[a] = w.panel(first + static_cast<std::size_t>(a));
        for (int t = 0; t < T; ++t) acc[a][t] = _mm512_setzero_ps();
    }
    for (int t = 0; t < T; ++t) {
        hi[t] = x.hi + (t0 + static_cast<std::size_t>(t)) * x.stride;
        lo[t] = x.lo + (t0 + static_cast<std::size_t>(t)) * x.stride;
    }
    std::size_t c = 0;
    for (std::size_t g = 0; g < w.groups; ++g) {
        __m512i high[P][T], low[P][T];
        const std::uint8_t* head[P];
        for (int a = 0; a < P; ++a) {
            head[a] = p[a];
            p[a] += header;
            for (int t = 0; t < T; ++t) high[a][t] = low[a][t] = _mm512_setzero_si512();
        }
        for (const std::size_t end = c + w.group_padded; c < end; c += kColumns) {
            if constexpr (T == 1) {
                // One token: a panel at a time, so that many address streams need few registers.
                const __m512i xh[2] = {broadcast4(hi[0] + c), broadcast4(hi[0] + c + (Int4 ? 4 : 0))};
                const __m512i xl[2] = {broadcast4(lo[0] + c), broadcast4(lo[0] + c + (Int4 ? 4 : 0))};
                _Pragma("GCC unroll 8") for (int a = 0; a < P; ++a) {
                    __m512i v[kHalves];
                    load_codes<Int4>(p[a], v);
                    p[a] += 64;
                    _Pragma("GCC unroll 2") for (int h = 0; h < kHalves; ++h) {
                        high[a][0] = _mm512_dpbusd_epi32(high[a][0], v[h], xh[h]);
                        low[a][0] = _mm512_dpbusd_epi32(low[a][0], v[h], xl[h]);
                    }
                }
            } else {
                __m512i v[P][kHalves];
                _Pragma("GCC unroll 8") for (int a = 0; a < P; ++a) {
                    load_codes<Int4>(p[a], v[a]);
                    p[a] += 64;
                }
                _Pragma("GCC unroll 8") for (int t = 0; t < T; ++t) {
                    _Pragma("GCC unroll 2") for (int h = 0; h < kHalves; ++h) {
                        const __m512i xh = broadcast4(hi[t] + c + 4 * h), xl = broadcast4(lo[t] + c + 4 * h);
                        _Pragma("GCC unroll 8") for (int a = 0; a < P; ++a) {
                            high[a][t] = _mm512_dpbusd_epi32(high[a][t], v[a][h], xh);
                            low[a][t] = _mm512_dpbusd_epi32(low[a][t], v[a][h], xl);
                        }
                    }
                }
            }
        }
        const __m512 k256 = _mm512_set1_ps(256.0f);
        for (int a = 0; a < P; ++a) {
            const __m512 scale = load_scales(w, head[a]);
            const __m512 zero = Int4 ? _mm512_cvtepi32_ps(_mm512_cvtepu8_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(head[a] + zeros_at)))) : _mm512_set1_ps(128.0f);
            _Pragma("GCC unroll 8") for (int t = 0; t < T; ++t) {
                const std::size_t at = (t0 + static_cast<std::size_t>(t)) * x.groups + g;
                __m512 f = _mm512_fmadd_ps(_mm512_cvtepi32_ps(high[a][t]), k256, _mm512_cvtepi32_ps(low[a][t]));
                f = _mm512_fnmadd_ps(zero, _mm512_set1_ps(x.sums[at]), f);
                acc[a][t] = _mm512_fmadd_ps(_mm512_mul_ps(f, scale), _mm512_set1_ps(x.scales[at]), acc[a][t]);
            }
        }
    }
    for (int a = 0; a < P; ++a) {
        for (int t = 0; t < T; ++t) store_rows(w, first + static_cast<std::size_t>(a), acc[a][t], y + (t0 + static_cast<std::size_t>(t)) * ldy);
    }
}

template <bool Int4, int P>
void grouped_panels(const Panels& w, std::size_t first, const Int16Rows& x, std::uint32_t tokens, float* y, std::size_t ldy) {
    std::uint32_t t = 0;
    for (; t + 6 <= tokens; t += 6) grouped_block<Int4, P, 6>(w, first, x, t, y, ldy);
    for (; t + 2 <= tokens; t += 2) grouped_block<Int4, P, 2>(w, first, x, t, y, ldy);
    if (t < tokens) grouped_block<Int4, P, 1>(w, first, x, t, y, ldy);
}

template <bool Int4>
void grouped_format(const Panels& w, std::size_t first, std::size_t last, const Int16Rows& x, std::uint32_t tokens, float* y, std::size_t ldy) {
    std::size_t p = first;
    if (tokens == 1) {
        for (; p + 8 <= last; p += 8) grouped_block<Int4, 8, 1>(w, p, x, 0, y, ldy);
    }
    for (; p + 2 <= last; p += 2) grouped_panels<Int4, 2>(w, p, x, tokens, y, ldy);
    if (p < last) grouped_panels<Int4, 1>(w, p, x, tokens, y, ldy);
}

void grouped(const Panels& w, std::size_t first, std::size_t last, const Int16Rows& x, std::uint32_t tokens, float* y, std::size_t ldy) {
    if (w.format == WeightFormat::kInt4Group) grouped_format<true>(w, first, last, x, tokens, y, ldy);
    else grouped_format<false>(w, first, last, x, tokens, y, ldy);
}

void quantize16(const float* x, std::size_t groups, std::size_t group, std::size_t stride, std::int8_t* hi, std::int8_t* lo, float* scales, float* sums) {
    for (std::size_t g = 0; g < groups; ++g, x += group, hi += stride, lo += stride) {
        const auto mask_at = [&](std::size_t c) { return static_cast<__mmask16>(c + 16 <= group ? 0xffffu : c >= group ? 0u : (1u << (group - c)) - 1u); };
        __m512 top = _mm512_setzero_ps();
        for (std::size_t c = 0; c < group; c += 16) top = _mm512_max_ps(top, _mm512_abs_ps(_mm512_maskz_loadu_ps(mask_at(c), x + c)));
        const float m = _mm512_reduce_max_ps(top);
        const __m512 inverse = _mm512_set1_ps(m > 0 ? kInt16Top / m : 0.0f);
        __m512i sum = _mm512_setzero_si512();
        for (std::size_t c = 0; c < stride; c += 16) {
            const __m512i q = _mm512_cvtps_epi32(_mm512_mul_ps(_mm512_maskz_loadu_ps(mask_at(c), x + c), inverse));
            const __m512i h = _mm512_srai_epi32(_mm512_add_epi32(q, _mm512_set1_epi32(128)), 8);
            const auto in = static_cast<__mmask16>(c + 16 <= stride ? 0xffffu : (1u << (stride - c)) - 1u);
            _mm_mask_storeu_epi8(hi + c, in, _mm512_cvtepi32_epi8(h));
            _mm_mask_storeu_epi8(lo + c, in, _mm512_cvtepi32_epi8(_mm512_sub_epi32(q, _mm512_slli_epi32(h, 8))));
            sum = _mm512_add_epi32(sum, q);
        }
        scales[g] = m / kInt16Top;
        sums[g] = static_cast<float>(_mm512_reduce_add_epi32(sum));
    }
}

}  // namespace

const Kernels& kernels_vnni() {
    static const Kernels table = [] {
        Kernels k = kernels_avx512();
        k.name = "AVX-512 VNNI";  // float_name stays
        k.int8 = int8;
        k.grouped = grouped;
        k.quantize16 = quantize16;
        return k;
    }();
    return table;
}

}  // namespace tenpak::compute::cpu

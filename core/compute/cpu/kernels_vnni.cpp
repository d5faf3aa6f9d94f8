// SPDX-License-Identifier: Apache-2.0
// AVX-512 VNNI: 64 products of an unsigned and a signed byte an instruction, one instruction a cycle. Codes are the
// unsigned side (int8 ones with 128 added), activations the signed one: 8 bits, or 16 bits as two parts of 8.
#include <immintrin.h>

#include <algorithm>
#include <cmath>
#include <cstring>

#include "core/compute/cpu/kernels.h"

namespace tenpak::compute::cpu {
namespace {

enum class Codes { kInt4, kInt8, kInt8Channel };

inline __m512i broadcast4(const void* p) {
    std::int32_t v;
    std::memcpy(&v, p, 4);
    return _mm512_set1_epi32(v);
}
/// acc += codes (unsigned bytes) * x (signed bytes), four to a lane. GCC 12 copies and spills the sums of the intrinsic.
inline void multiply_add(__m512i& acc, const __m512i& codes, const __m512i& x) { __asm__("vpdpbusd %2, %1, %0" : "+v"(acc) : "v"(codes), "v"(x)); }

inline __mmask16 row_mask(const Panels& w, std::size_t panel) {
    const std::size_t left = w.rows - panel * kLanes;
    return static_cast<__mmask16>(left >= kLanes ? 0xffffu : (1u << left) - 1u);
}

inline __m512 load_scales(const Panels& w, const std::uint8_t* header) {
    switch (w.scale_kind) {
        case ScaleKind::kBF16: return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(header))), 16));
        case ScaleKind::kF16: return _mm512_cvtph_ps(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(header)));
        case ScaleKind::kF32: break;
    }
    return _mm512_loadu_ps(header);
}
inline __m512i load_zeros(const Panels& w, const std::uint8_t* header) {
    return _mm512_cvtepu8_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(header + (w.scale_kind == ScaleKind::kF32 ? 64 : 32))));
}

/// One vector of 4 columns (int8) or two of them (int4) as unsigned bytes.
template <Codes C>
inline void load_codes(const std::uint8_t* p, __m512i (&v)[C == Codes::kInt4 ? 2 : 1]) {
    const __m512i raw = _mm512_loadu_si512(p);
    if constexpr (C == Codes::kInt4) {
        const __m512i nibble = _mm512_set1_epi8(0x0f);
        v[0] = _mm512_and_si512(raw, nibble);
        v[1] = _mm512_and_si512(_mm512_srli_epi16(raw, 4), nibble);
    } else {
        v[0] = _mm512_xor_si512(raw, _mm512_set1_epi8(static_cast<char>(0x80)));
    }
}

constexpr float kInt16Top = 127 * 256.0f;
/// Bytes at the start of each address stream of a few tokens' product that are asked for at once.
constexpr std::size_t kPrefetch = 1024;

/// What a tile of P panels and T tokens works on.
struct Operands {
    const std::int8_t* codes;      // of the block of tokens
    const float* scales;
    const std::int32_t* offsets;
    std::size_t panel;
    std::size_t group, group_end;  // the products of these are added up; the first group also starts the sum
};

template <Codes C, int Parts, int P, int T>
void block(const Panels& w, const Operands& o, float* y, std::size_t ldy) {
    constexpr bool kGrouped = C != Codes::kInt8Channel;
    constexpr int kHalves = C == Codes::kInt4 ? 2 : 1;
    // Sums of more tiles than registers hold live in memory, so that the compiler keeps the integer ones in registers.
    constexpr bool kInMemory = P * T * (Parts + 1) > 24;
    // Few activations stay in registers while the panels go by, one at a time; else codes of all panels do.
    constexpr bool kFew = T * Parts * kHalves <= 8;
    constexpr std::size_t kX = std::size_t{4} * T * Parts;  // bytes of activations per four columns
    const std::size_t header = kGrouped ? w.header_bytes() : 0;
    __m512 total[P][T];
    for (int a = 0; a < P; ++a) {
        const std::size_t panel = o.panel + static_cast<std::size_t>(a);
        const __m512 bias = w.bias.empty() ? _mm512_setzero_ps() : _mm512_loadu_ps(w.bias.data() + panel * kLanes);
        const __mmask16 mask = row_mask(w, panel);
        for (int t = 0; t < T; ++t) total[a][t] = o.group == 0 ? bias : _mm512_maskz_loadu_ps(mask, y + static_cast<std::size_t>(t) * ldy + panel * kLanes);
    }
    const std::uint8_t* p[P];
    for (int a = 0; a < P; ++a) p[a] = w.panel(o.panel + static_cast<std::size_t>(a)) + o.group * (kGrouped ? w.group_bytes() : 0);
    const std::size_t length = kGrouped ? w.group_padded : w.padded;
    const std::int8_t* x = o.codes + o.group * (length / 4) * kX;
    for (std::size_t g = o.group; g < o.group_end; ++g) {
        const std::int32_t* offsets = o.offsets + g * Parts * T;
        const float* scales = o.scales + g * T;
        const std::uint8_t* head[P];
        __m512i acc[P][T][Parts];
        for (int a = 0; a < P; ++a) {
            head[a] = p[a];
            p[a] += header;
            if (C != Codes::kInt4 || w.symmetric) {
                _Pragma("GCC unroll 12") for (int t = 0; t < T; ++t) {
                    _Pragma("GCC unroll 2") for (int h = 0; h < Parts; ++h) acc[a][t][h] = _mm512_set1_epi32(offsets[h * T + t]);
                }
            } else {
                const __m512i zero = load_zeros(w, head[a]);
                _Pragma("GCC unroll 12") for (int t = 0; t < T; ++t) {
                    _Pragma("GCC unroll 2") for (int h = 0; h < Parts; ++h) acc[a][t][h] = _mm512_mullo_epi32(zero, _mm512_set1_epi32(offsets[h * T + t]));
                }
            }
        }
        for (std::size_t c = 0; c < length; c += 4 * kHalves, x += kX * kHalves) {
            const auto multiply = [&](int a, int half, int t, const __m512i v) {
                _Pragma("GCC unroll 2") for (int h = 0; h < Parts; ++h) {
                    multiply_add(acc[a][t][h], v, broadcast4(x + kX * static_cast<std::size_t>(half) + 4 * (t * Parts + h)));
                }
            };
            if constexpr (kFew) {
                _Pragma("GCC unroll 8") for (int a = 0; a < P; ++a) {
                    __m512i v[kHalves];
                    load_codes<C>(p[a], v);
                    p[a] += 64;
                    _Pragma("GCC unroll 2") for (int half = 0; half < kHalves; ++half) {
                        _Pragma("GCC unroll 12") for (int t = 0; t < T; ++t) multiply(a, half, t, v[half]);
                    }
                }
            } else {
                __m512i v[P][kHalves];
                _Pragma("GCC unroll 8") for (int a = 0; a < P; ++a) {
                    load_codes<C>(p[a], v[a]);
                    p[a] += 64;
                }
                _Pragma("GCC unroll 2") for (int half = 0; half < kHalves; ++half) {
                    _Pragma("GCC unroll 12") for (int t = 0; t < T; ++t) {
                        _Pragma("GCC unroll 8") for (int a = 0; a < P; ++a) multiply(a, half, t, v[a][half]);
                    }
                }
            }
        }
        for (int a = 0; a < P; ++a) {
            const __m512 scale = kGrouped ? load_scales(w, head[a]) : _mm512_loadu_ps(w.row_scales.data() + (o.panel + static_cast<std::size_t>(a)) * kLanes);
            _Pragma("GCC unroll 12") for (int t = 0; t < T; ++t) {
                __m512 f = _mm512_cvtepi32_ps(acc[a][t][0]);
                if constexpr (Parts == 2) f = _mm512_fmadd_ps(f, _mm512_set1_ps(256.0f), _mm512_cvtepi32_ps(acc[a][t][1]));
                total[a][t] = _mm512_fmadd_ps(f, _mm512_mul_ps(scale, _mm512_set1_ps(scales[t])), total[a][t]);
            }
        }
        if constexpr (kInMemory) __asm__ volatile("" : "+m"(total));
    }
    for (int a = 0; a < P; ++a) {
        const std::size_t panel = o.panel + static_cast<std::size_t>(a);
        const __mmask16 mask = row_mask(w, panel);
        for (int t = 0; t < T; ++t) _mm512_mask_storeu_ps(y + static_cast<std::size_t>(t) * ldy + panel * kLanes, mask, total[a][t]);
    }
}

template <Codes C, int Parts, int P, int T>
void block_of(std::size_t count, const Panels& w, const Operands& o, float* y, std::size_t ldy) {
    if (count == P) return block<C, Parts, P, T>(w, o, y, ldy);
    if constexpr (P > 1) block_of<C, Parts, P - 1, T>(count, w, o, y, ldy);
}

template <Codes C, int Parts, int T>
void panels_of(const Panels& w, std::size_t first, std::size_t last, Operands o, float* y, std::size_t ldy) {
    // Few tokens: as many panels at once as registers allow, each an address stream. Many: the activations are the stream.
    constexpr std::size_t kWide = T * Parts == 2 && T == 1 ? 6 : T * Parts <= 2 ? 8 : T * Parts <= 4 ? 4 : T * Parts <= 12 ? 2 : 1;
    if constexpr (T * Parts <= 4) {  // the streams' beginnings, which nothing has asked for yet
        for (std::size_t a = 0; a < std::min<std::size_t>(kWide, last - first); ++a) {
            for (std::size_t i = 0; i < std::min<std::size_t>(kPrefetch, w.panel_bytes); i += 64) _mm_prefetch(reinterpret_cast<const char*>(w.panel(first + a) + i), _MM_HINT_T0);
        }
    }
    while (first < last) {
        // What is left is split evenly: nine panels are five and four, not eight and a lonely one.
        const std::size_t left = last - first, count = left < 2 * kWide ? (left > kWide ? (left + 1) / 2 : left) : kWide;
        o.panel = first;
        block_of<C, Parts, kWide, T>(count, w, o, y, ldy);
        first += count;
    }
}

template <Codes C, int Parts, int T>
void tokens_of(std::uint32_t count, const Panels& w, const Tile& tile, const Operands& o, float* y, std::size_t ldy) {
    if (count == T) return panels_of<C, Parts, T>(w, tile.first, tile.last, o, y, ldy);
    if constexpr (T > 1) tokens_of<C, Parts, T - 1>(count, w, tile, o, y, ldy);
}

/// Asks for what another core has just written, all at once: line by line, each would cost its way between the cores.
inline void fetch(const void* data, std::size_t bytes) {
    const char* p = static_cast<const char*>(data);
    for (std::size_t i = 0; i < bytes; i += 64) _mm_prefetch(p + i, _MM_HINT_T0);
}

template <Codes C, int Parts>
void product(const Panels& w, const Tile& tile, const IntegerBlocks& x, float* y, std::size_t ldy) {
    // A block's activations of this many groups stay in the first-level cache while the panels go by.
    constexpr std::size_t kCached = 24 * 1024;
    const std::size_t padded = w.groups > 1 ? w.group_padded : w.padded;
    const std::size_t step = std::max<std::size_t>(1, kCached / (padded * kTokenBlock * Parts));
    if (x.tokens <= 2) {
        fetch(x.codes, std::min<std::size_t>(kCached, std::size_t{x.tokens} * w.padded * Parts));
        fetch(x.scales, std::size_t{x.tokens} * w.groups * 4);
        fetch(x.offsets, std::size_t{x.tokens} * w.groups * Parts * 4);
    }
    for (std::size_t g = 0; g < w.groups; g += step) {
        for (std::uint32_t b = tile.block; b < tile.block_end; ++b) {
            const std::size_t token = std::size_t{b} * kTokenBlock;
            const Operands o = {x.codes + token * w.padded * Parts, x.scales + token * w.groups, x.offsets + token * w.groups * Parts, 0, g,
                                std::min<std::size_t>(g + step, w.groups)};
            tokens_of<C, Parts, kTokenBlock>(static_cast<std::uint32_t>(std::min<std::size_t>(kTokenBlock, x.tokens - token)), w, tile, o, y + token * ldy, ldy);
        }
    }
}

void integer(const Panels& w, const Tile& tile, const IntegerBlocks& x, unsigned parts, float* y, std::size_t ldy) {
    switch (w.format) {
        case WeightFormat::kInt4Group: return parts == 2 ? product<Codes::kInt4, 2>(w, tile, x, y, ldy) : product<Codes::kInt4, 1>(w, tile, x, y, ldy);
        case WeightFormat::kInt8Group: return parts == 2 ? product<Codes::kInt8, 2>(w, tile, x, y, ldy) : product<Codes::kInt8, 1>(w, tile, x, y, ldy);
        case WeightFormat::kInt8Channel: return product<Codes::kInt8Channel, 1>(w, tile, x, y, ldy);
        case WeightFormat::kF32:
        case WeightFormat::kBF16:
        case WeightFormat::kF16: return;
        default: return;
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
    const std::int32_t zero = w.format != WeightFormat::kInt4Group ? 128 : w.symmetric ? 8 : 1;
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

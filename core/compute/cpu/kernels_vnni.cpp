// SPDX-License-Identifier: Apache-2.0
// AVX-512 VNNI: 64 products of an unsigned and a signed byte an instruction, one instruction a cycle. Codes are the
// unsigned side (int8 ones and int4+sparse's with 128 added), activations the signed one: 8 bits, or 16 bits as two parts of 8.
#include <immintrin.h>

#include <algorithm>
#include <cmath>
#include <cstring>

#include "core/compute/cpu/kernels.h"

namespace tenpak::compute::cpu {
namespace {

// kSparseExpand: with VBMI2's expansion of bytes by a mask.
enum class Codes { kInt4, kInt8, kInt8Channel, kResidual, kSparse, kSparseExpand };
/// Fours of columns that one load of codes gives.
constexpr int quads_of(Codes c) {
    switch (c) {
        case Codes::kInt8:
        case Codes::kInt8Channel: return 1;
        case Codes::kResidual: return 4;
        default: return 2;
    }
}

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
        case ScaleKind::kF32:
        case ScaleKind::kNested: break;
    }
    return _mm512_loadu_ps(header);
}
inline __m512i load_zeros(const Panels& w, const std::uint8_t* header) {
    return _mm512_cvtepu8_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(header + w.scale_bytes())));
}

inline __m512i and_(const __m512i& a, int byte) { return _mm512_and_si512(a, _mm512_set1_epi8(static_cast<char>(byte))); }

/// Walks a panel; `load` gives the next codes as unsigned bytes, four columns a vector.
template <Codes C>
struct Reader {
    static constexpr bool kGrouped = C != Codes::kInt8Channel;
    const std::uint8_t* p;
    const std::uint8_t* head;
    void open(const Panels& w, std::size_t panel, std::size_t group) { p = w.panel(panel) + group * (kGrouped ? w.group_bytes() : 0); }
    void begin(const Panels& w) {
        head = p;
        if constexpr (kGrouped) p += w.header_bytes();
    }
    void load(__m512i (&v)[quads_of(C)]) {
        const __m512i raw = _mm512_loadu_si512(p);
        if constexpr (C == Codes::kInt4) {
            v[0] = and_(raw, 0x0f);
            v[1] = and_(_mm512_srli_epi16(raw, 4), 0x0f);
            p += 64;
        } else if constexpr (C == Codes::kResidual) {
            const __m512i second = _mm512_loadu_si512(p + 64), low = _mm512_loadu_si512(p + 128), two = _mm512_set1_epi8(3);
            // (low & 3) | four times the nibble
            const auto join = [&](const __m512i& lows, const __m512i& nibbles) { return _mm512_ternarylogic_epi32(lows, two, and_(nibbles, 0x3c), 0xea); };
            v[0] = join(low, _mm512_slli_epi16(raw, 2));
            v[1] = join(_mm512_srli_epi16(low, 2), _mm512_srli_epi16(raw, 2));
            v[2] = join(_mm512_srli_epi16(low, 4), _mm512_slli_epi16(second, 2));
            v[3] = join(_mm512_srli_epi16(low, 6), _mm512_srli_epi16(second, 2));
            p += 192;
        } else {
            v[0] = _mm512_xor_si512(raw, _mm512_set1_epi8(static_cast<char>(0x80)));
            p += 64;
        }
    }
};

/// Bytes of `stream` into those that the mask keeps, in order.
template <bool Expand>
inline __m512i expand_nibbles(std::uint64_t mask, const std::uint8_t* stream) {
    if constexpr (Expand) {
        const __m512i pairs = _mm512_cvtepu8_epi16(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(stream)));
        const __m512i nibbles = and_(_mm512_or_si512(pairs, _mm512_slli_epi16(pairs, 4)), 0x0f);
        // By hand: the functions around it need not be compiled for VBMI2, which only some of the processors have that run them.
        __m512i r;
        __asm__("vpexpandb %1, %0%{%2%}%{z%}" : "=v"(r) : "v"(nibbles), "Yk"(static_cast<__mmask64>(mask)));
        return r;
    } else {
        alignas(64) std::uint64_t low[8];
        unsigned bit = 0;
        for (std::uint64_t& l : low) {
            std::uint64_t bits;
            std::memcpy(&bits, stream + bit / 8, 8);
            const std::uint64_t places = _pdep_u64(mask & 255, 0x0101010101010101ull) * 15;
            l = _pdep_u64(bits >> bit % 8, places);
            bit += 4u * static_cast<unsigned>(__builtin_popcountll(mask & 255));
            mask >>= 8;
        }
        return _mm512_load_si512(low);
    }
}

template <bool Expand>
struct SparseReader {
    static constexpr bool kGrouped = true;
    const std::uint8_t *p, *head, *mask, *stream, *end;
    __m512i multiple, shift;
    void open(const Panels& w, std::size_t panel, std::size_t group) { end = w.panel(panel) + group * w.group_bytes(); }
    void begin(const Panels& w) {
        head = end;
        end += w.group_bytes();
        stream = head + w.scale_bytes() + kLanes;
        p = head + w.header_bytes();
        mask = p + std::size_t{w.group_padded} * kLanes / 2;
        // The multiple in both halves of a lane, and in each byte 128 - 8 * multiple: code * multiple + that is 128 + the signed value.
        const __m512i m = _mm512_cvtepu8_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(head + w.scale_bytes())));
        multiple = _mm512_or_si512(m, _mm512_slli_epi32(m, 16));
        const __m512i bytes = _mm512_or_si512(multiple, _mm512_slli_epi32(multiple, 8));
        shift = _mm512_sub_epi8(_mm512_set1_epi8(static_cast<char>(0x80)), _mm512_slli_epi32(bytes, 3));  // 8 * 15 stays in its byte
    }
    void load(__m512i (&v)[2]) {
        const __m512i raw = _mm512_loadu_si512(p);
        p += 64;
        const __m512i code[2] = {and_(raw, 0x0f), and_(_mm512_srli_epi16(raw, 4), 0x0f)}, high[2] = {_mm512_slli_epi16(raw, 4), raw};
        _Pragma("GCC unroll 2") for (int h = 0; h < 2; ++h) {
            std::uint64_t m;
            std::memcpy(&m, mask, 8);
            mask += 8;
            const __m512i low = expand_nibbles<Expand>(m, stream);
            stream += (static_cast<unsigned>(__builtin_popcountll(m)) + 1) / 2;
            const __m512i other = _mm512_add_epi8(_mm512_mullo_epi16(code[h], multiple), shift);  // products are below 256
            // (high & 0xf0 | low) ^ 0x80, high's sign bit turned over before it is joined
            const __m512i kept = _mm512_ternarylogic_epi32(_mm512_xor_si512(high[h], _mm512_set1_epi8(static_cast<char>(0x80))), _mm512_set1_epi8(static_cast<char>(0xf0)), low, 0xea);
            v[h] = _mm512_mask_blend_epi8(static_cast<__mmask64>(m), other, kept);
        }
    }
};
template <>
struct Reader<Codes::kSparse> : SparseReader<false> {};
template <>
struct Reader<Codes::kSparseExpand> : SparseReader<true> {};

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
    constexpr bool kGrouped = C != Codes::kInt8Channel, kZeros = C == Codes::kInt4 || C == Codes::kResidual;
    constexpr int kHalves = quads_of(C);
    // Sums of more tiles than registers hold live in memory, so that the compiler keeps the integer ones in registers.
    constexpr bool kInMemory = P * T * (Parts + 1) > 24;
    // Few activations stay in registers while the panels go by, one at a time; else codes of all panels do.
    constexpr bool kFew = T * Parts * kHalves <= 8;
    constexpr std::size_t kX = std::size_t{4} * T * Parts;  // bytes of activations per four columns
    __m512 total[P][T];
    for (int a = 0; a < P; ++a) {
        const std::size_t panel = o.panel + static_cast<std::size_t>(a);
        const __m512 bias = w.bias.empty() ? _mm512_setzero_ps() : _mm512_loadu_ps(w.bias.data() + panel * kLanes);
        const __mmask16 mask = row_mask(w, panel);
        for (int t = 0; t < T; ++t) total[a][t] = o.group == 0 ? bias : _mm512_maskz_loadu_ps(mask, y + static_cast<std::size_t>(t) * ldy + panel * kLanes);
    }
    Reader<C> read[P];
    for (int a = 0; a < P; ++a) read[a].open(w, o.panel + static_cast<std::size_t>(a), o.group);
    const std::size_t length = kGrouped ? w.group_padded : w.padded;
    const std::int8_t* x = o.codes + o.group * (length / 4) * kX;
    for (std::size_t g = o.group; g < o.group_end; ++g) {
        const std::int32_t* offsets = o.offsets + g * Parts * T;
        const float* scales = o.scales + g * T;
        __m512i acc[P][T][Parts];
        for (int a = 0; a < P; ++a) {
            read[a].begin(w);
            if (!kZeros || w.symmetric) {
                _Pragma("GCC unroll 12") for (int t = 0; t < T; ++t) {
                    _Pragma("GCC unroll 2") for (int h = 0; h < Parts; ++h) acc[a][t][h] = _mm512_set1_epi32(offsets[h * T + t]);
                }
            } else {
                const __m512i zero = load_zeros(w, read[a].head);
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
                    read[a].load(v);
                    _Pragma("GCC unroll 4") for (int half = 0; half < kHalves; ++half) {
                        _Pragma("GCC unroll 12") for (int t = 0; t < T; ++t) multiply(a, half, t, v[half]);
                    }
                }
            } else {
                __m512i v[P][kHalves];
                _Pragma("GCC unroll 8") for (int a = 0; a < P; ++a) {
                    read[a].load(v[a]);
                }
                _Pragma("GCC unroll 4") for (int half = 0; half < kHalves; ++half) {
                    _Pragma("GCC unroll 12") for (int t = 0; t < T; ++t) {
                        _Pragma("GCC unroll 8") for (int a = 0; a < P; ++a) multiply(a, half, t, v[a][half]);
                    }
                }
            }
        }
        for (int a = 0; a < P; ++a) {
            const __m512 scale = kGrouped ? load_scales(w, read[a].head) : _mm512_loadu_ps(w.row_scales.data() + (o.panel + static_cast<std::size_t>(a)) * kLanes);
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
    constexpr bool kSparse = C == Codes::kSparse || C == Codes::kSparseExpand;  // keep two more registers a panel
    constexpr std::size_t kWide = T * Parts <= 2 && kSparse ? 4 : T * Parts == 2 && T == 1 ? 6 : T * Parts <= 2 ? 8 : T * Parts <= 4 ? 4 : T * Parts <= 12 ? 2 : 1;
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
        case WeightFormat::kInt4Residual: return parts == 2 ? product<Codes::kResidual, 2>(w, tile, x, y, ldy) : product<Codes::kResidual, 1>(w, tile, x, y, ldy);
        case WeightFormat::kInt4Sparse:
            if (w.expand_bytes) return parts == 2 ? product<Codes::kSparseExpand, 2>(w, tile, x, y, ldy) : product<Codes::kSparseExpand, 1>(w, tile, x, y, ldy);
            return parts == 2 ? product<Codes::kSparse, 2>(w, tile, x, y, ldy) : product<Codes::kSparse, 1>(w, tile, x, y, ldy);
        case WeightFormat::kInt8Channel: return product<Codes::kInt8Channel, 1>(w, tile, x, y, ldy);
        case WeightFormat::kF32:
        case WeightFormat::kBF16:
        case WeightFormat::kF16:
        case WeightFormat::kNf4Group:
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

// SPDX-License-Identifier: Apache-2.0
// nf4 times 8-bit activations: the sixteen values in 16 bits (off by at most 1/65534 of a group's largest magnitude), as two
// tables of bytes: two products of bytes a weight, and no multiplication in fp32 but by scales.
#include <immintrin.h>

#include <algorithm>
#include <cmath>
#include <cstring>

#include "core/compute/cpu/kernels.h"

#define TENPAK_NATIVE_LANES 16

namespace tenpak::compute::cpu {
namespace {
#include "core/compute/cpu/simd.inc"
#include "core/compute/cpu/readers.inc"
#include "core/compute/cpu/vnni.inc"

constexpr float kTop = 32767;
/// values * kTop + 2^15 by halves: what is added is taken off with the sums of x, as 128 of a signed byte is.
struct Tables {
    alignas(16) std::uint8_t high[16], low[16];
    Tables() {
        for (int i = 0; i < 16; ++i) {
            const auto v = static_cast<unsigned>(std::lround(kNf4Levels[i] * kTop) + 32768);
            high[i] = static_cast<std::uint8_t>(v >> 8);
            low[i] = static_cast<std::uint8_t>(v & 255);
        }
    }
};

struct Operands {
    const std::int8_t* codes;  // of the block of tokens, as the following
    const float* scales;
    const std::int32_t* offsets;
    std::size_t panel, group, group_end;  // the first group also starts the sum
};

template <class Read, int P, int T>
void block(const Panels& w, const Operands& o, const Tables& tables, float* y, std::size_t ldy) {
    const __m512i high = _mm512_broadcast_i32x4(_mm_load_si128(reinterpret_cast<const __m128i*>(tables.high)));
    const __m512i low = _mm512_broadcast_i32x4(_mm_load_si128(reinterpret_cast<const __m128i*>(tables.low)));
    const __m512i nibble = _mm512_set1_epi8(0x0f);
    constexpr bool kInMemory = P * T > 8;  // sums beside those of a group
    constexpr std::size_t kX = std::size_t{4} * T;  // bytes of activations per four columns
    __m512 total[P][T];
    Read read[P];
    _Pragma("GCC unroll 8") for (int a = 0; a < P; ++a) {
        const std::size_t panel = o.panel + static_cast<std::size_t>(a);
        const __m512 bias = w.bias.empty() ? _mm512_setzero_ps() : _mm512_loadu_ps(w.bias.data() + panel * kLanes);
        const __mmask16 mask = row_mask(w, panel);
        read[a].open_at(w, panel, o.group);
        _Pragma("GCC unroll 12") for (int t = 0; t < T; ++t) {
            total[a][t] = o.group == 0 ? bias : _mm512_maskz_loadu_ps(mask, y + static_cast<std::size_t>(t) * ldy + panel * kLanes);
        }
    }
    const std::int8_t* x = o.codes + o.group * (w.group_padded / 4) * kX;
    for (std::size_t g = o.group; g < o.group_end; ++g) {
        __m512i acc[P][T][2];
        _Pragma("GCC unroll 8") for (int a = 0; a < P; ++a) {
            read[a].begin(w, g);
            _Pragma("GCC unroll 12") for (int t = 0; t < T; ++t) {
                acc[a][t][0] = _mm512_set1_epi32(o.offsets[g * T + static_cast<std::size_t>(t)]);
                acc[a][t][1] = _mm512_setzero_si512();
            }
        }
        for (std::size_t c = 0; c < w.group_padded; c += 8, x += 2 * kX) {
            _Pragma("GCC unroll 8") for (int a = 0; a < P; ++a) {
                const __m512i raw = _mm512_loadu_si512(read[a].p);
                read[a].p += 64;
                const __m512i code[2] = {_mm512_and_si512(raw, nibble), _mm512_and_si512(_mm512_srli_epi16(raw, 4), nibble)};
                _Pragma("GCC unroll 2") for (int half = 0; half < 2; ++half) {
                    const __m512i v[2] = {_mm512_shuffle_epi8(high, code[half]), _mm512_shuffle_epi8(low, code[half])};
                    _Pragma("GCC unroll 12") for (int t = 0; t < T; ++t) {
                        const __m512i b = broadcast4(x + kX * static_cast<std::size_t>(half) + 4 * t);
                        multiply_add(acc[a][t][0], v[0], b);
                        multiply_add(acc[a][t][1], v[1], b);
                    }
                }
            }
        }
        _Pragma("GCC unroll 8") for (int a = 0; a < P; ++a) {
            const F16 scales = read[a].scale(w);
            const __m512 scale = reinterpret_cast<__m512>(scales.v[0]);
            _Pragma("GCC unroll 12") for (int t = 0; t < T; ++t) {
                const __m512 f = _mm512_fmadd_ps(_mm512_cvtepi32_ps(acc[a][t][0]), _mm512_set1_ps(256.0f), _mm512_cvtepi32_ps(acc[a][t][1]));
                total[a][t] = _mm512_fmadd_ps(f, _mm512_mul_ps(scale, _mm512_set1_ps(o.scales[g * T + static_cast<std::size_t>(t)] * (1 / kTop))), total[a][t]);
            }
        }
        if constexpr (kInMemory) __asm__ volatile("" : "+m"(total));
    }
    _Pragma("GCC unroll 8") for (int a = 0; a < P; ++a) {
        const std::size_t panel = o.panel + static_cast<std::size_t>(a);
        const __mmask16 mask = row_mask(w, panel);
        _Pragma("GCC unroll 12") for (int t = 0; t < T; ++t) _mm512_mask_storeu_ps(y + static_cast<std::size_t>(t) * ldy + panel * kLanes, mask, total[a][t]);
    }
}

template <class Read, int P, int T>
void block_of(std::size_t count, const Panels& w, const Operands& o, const Tables& tables, float* y, std::size_t ldy) {
    if (count == P) return block<Read, P, T>(w, o, tables, y, ldy);
    if constexpr (P > 1) block_of<Read, P - 1, T>(count, w, o, tables, y, ldy);
}

template <class Read, int T>
void tokens_of(std::uint32_t count, const Panels& w, const Tile& tile, Operands o, const Tables& tables, float* y, std::size_t ldy) {
    if (count == T) {
        constexpr std::size_t kWide = T == 1 ? 8 : T == 2 ? 4 : T <= 6 ? 2 : 1;
        if constexpr (T <= 2) {
            for (std::size_t a = 0; a < std::min<std::size_t>(kWide, tile.last - tile.first); ++a) {
                fetch(w.panel(tile.first + a), std::min(kStreamStart, w.panel_bytes));
            }
        }
        for (std::size_t first = tile.first; first < tile.last;) {
            const std::size_t left = tile.last - first, panels = left >= 2 * kWide ? kWide : left > kWide ? (left + 1) / 2 : left;
            o.panel = first;
            block_of<Read, static_cast<int>(kWide), T>(panels, w, o, tables, y, ldy);
            first += panels;
        }
        return;
    }
    if constexpr (T > 1) tokens_of<Read, T - 1>(count, w, tile, o, tables, y, ldy);
}

template <class Read>
void product(const Panels& w, const Tile& tile, const IntegerBlocks& x, float* y, std::size_t ldy) {
    static const Tables tables;
    // A block's activations of this many groups stay in the first-level cache while the panels go by; scale codes come by fours.
    const std::size_t step = std::max<std::size_t>(1, 24 * 1024 / (w.group_padded * kTokenBlock * Panels::kNestedGroups)) * Panels::kNestedGroups;
    for (std::size_t g = 0; g < w.groups; g += step) {
        for (std::uint32_t b = tile.block; b < tile.block_end; ++b) {
            const std::size_t token = std::size_t{b} * kTokenBlock;
            tokens_of<Read, kTokenBlock>(static_cast<std::uint32_t>(std::min<std::size_t>(kTokenBlock, x.tokens - token)), w, tile,
                                         {x.codes + token * w.padded, x.scales + token * w.groups, x.offsets + token * w.groups, 0, g, std::min(g + step, std::size_t{w.groups})},
                                         tables, y + token * ldy, ldy);
        }
    }
}

}  // namespace

void vnni_nf4(const Panels& w, const Tile& tile, const IntegerBlocks& x, float* y, std::size_t ldy) {
    if (w.nested()) product<ReadNf4Nested>(w, tile, x, y, ldy);
    else product<ReadNf4>(w, tile, x, y, ldy);
}

}  // namespace tenpak::compute::cpu

// SPDX-License-Identifier: Apache-2.0
// AVX-512 BF16: 32 products of bf16 an instruction, added to fp32 sums in pairs; twice the rate of fp32 FMA.
#include <immintrin.h>

#include <algorithm>
#include <cstring>

#include "core/compute/cpu/kernels.h"

namespace tenpak::compute::cpu {
namespace {

inline __m512bh broadcast_pair(const std::uint16_t* p) {
    std::int32_t v;
    std::memcpy(&v, p, 4);
    return reinterpret_cast<__m512bh>(_mm512_set1_epi32(v));
}

template <int P, int T>
void block(const Panels& w, std::size_t first, std::size_t column, std::size_t end, const std::uint16_t* x, float* y, std::size_t ldy) {
    __m512 acc[P][T];
    const std::uint8_t* p[P];
    __mmask16 mask[P];
    for (int a = 0; a < P; ++a) {
        const std::size_t panel = first + static_cast<std::size_t>(a), left = w.rows - panel * kLanes;
        p[a] = w.panel(panel) + column * 2 * kLanes;
        mask[a] = static_cast<__mmask16>(left >= kLanes ? 0xffffu : (1u << left) - 1u);
        const __m512 bias = w.bias.empty() ? _mm512_setzero_ps() : _mm512_loadu_ps(w.bias.data() + panel * kLanes);
        for (int t = 0; t < T; ++t) acc[a][t] = column == 0 ? bias : _mm512_maskz_loadu_ps(mask[a], y + static_cast<std::size_t>(t) * ldy + panel * kLanes);
    }
    x += column * T;
    for (std::size_t c = column; c < end; c += 2, x += 2 * T) {
        __m512bh v[P];
        _Pragma("GCC unroll 8") for (int a = 0; a < P; ++a) {
            v[a] = reinterpret_cast<__m512bh>(_mm512_load_si512(p[a]));
            p[a] += 64;
        }
        _Pragma("GCC unroll 12") for (int t = 0; t < T; ++t) {
            const __m512bh b = broadcast_pair(x + 2 * t);
            _Pragma("GCC unroll 8") for (int a = 0; a < P; ++a) acc[a][t] = _mm512_dpbf16_ps(acc[a][t], v[a], b);
        }
    }
    for (int a = 0; a < P; ++a) {
        for (int t = 0; t < T; ++t) _mm512_mask_storeu_ps(y + static_cast<std::size_t>(t) * ldy + (first + static_cast<std::size_t>(a)) * kLanes, mask[a], acc[a][t]);
    }
}

template <int T>
void panels_of(const Panels& w, std::size_t first, std::size_t last, std::size_t column, std::size_t end, const std::uint16_t* x, float* y, std::size_t ldy) {
    constexpr int kWide = T <= 3 ? 8 : T <= 6 ? 4 : 2;
    for (; first + kWide <= last; first += kWide) block<kWide, T>(w, first, column, end, x, y, ldy);
    if constexpr (kWide > 2) {
        for (; first + 2 <= last; first += 2) block<2, T>(w, first, column, end, x, y, ldy);
    }
    for (; first < last; ++first) block<1, T>(w, first, column, end, x, y, ldy);
}

template <int T>
void tokens_of(std::uint32_t count, const Panels& w, const Tile& tile, std::size_t column, std::size_t end, const std::uint16_t* x, float* y, std::size_t ldy) {
    if (count == T) return panels_of<T>(w, tile.first, tile.last, column, end, x, y, ldy);
    if constexpr (T > 1) tokens_of<T - 1>(count, w, tile, column, end, x, y, ldy);
}

void bf16(const Panels& w, const Tile& tile, const Bf16Blocks& x, float* y, std::size_t ldy) {
    constexpr std::size_t kColumns = 1024;  // of a block of tokens: 24 KiB, which stay in the first-level cache while the panels go by
    for (std::size_t c = 0; c < w.padded; c += kColumns) {
        const std::size_t end = std::min<std::size_t>(w.padded, c + kColumns);
        for (std::uint32_t b = tile.block; b < tile.block_end; ++b) {
            const std::size_t token = std::size_t{b} * kTokenBlock;
            tokens_of<kTokenBlock>(static_cast<std::uint32_t>(std::min<std::size_t>(kTokenBlock, x.tokens - token)), w, tile, c, end, x.values + token * w.padded,
                                   y + token * ldy, ldy);
        }
    }
}

void pack_bf16(const Panels& w, const float* x, std::uint32_t count, std::uint16_t* values) {
    for (std::uint32_t t = 0; t < count; ++t, x += w.columns) {
        for (std::size_t c = 0; c < w.padded; c += 32) {
            const auto mask_at = [&](std::size_t at) { return static_cast<__mmask16>(at + 16 <= w.columns ? 0xffffu : at >= w.columns ? 0u : (1u << (w.columns - at)) - 1u); };
            const __m512 low = _mm512_maskz_loadu_ps(mask_at(c), x + c), high = _mm512_maskz_loadu_ps(mask_at(c + 16), x + c + 16);
            alignas(64) std::uint32_t pairs[16];
            _mm512_store_si512(pairs, reinterpret_cast<__m512i>(_mm512_cvtne2ps_pbh(high, low)));
            std::uint16_t* to = values + c * count + 2 * t;
            for (std::size_t q = 0; q < 16; ++q) std::memcpy(to + 2 * q * count, &pairs[q], 4);
        }
    }
}

}  // namespace

const Kernels& kernels_bf16() {
    static const Kernels table = [] {
        Kernels k = kernels_vnni();
        k.bf16 = bf16;
        k.fp8 = fp8_product;
        k.pack_bf16 = pack_bf16;
        return k;
    }();
    return table;
}

}  // namespace tenpak::compute::cpu

// SPDX-License-Identifier: Apache-2.0
// fp8 weights and activations on AVX-512 BF16: e4m3 values are exact in bf16, their products in fp32.
#include <immintrin.h>

#include <algorithm>
#include <cstring>

#include "core/compute/cpu/kernels.h"

namespace tenpak::compute::cpu {
namespace {

/// e4m3 in the low bytes of 16-bit lanes, whatever their high bytes, to bf16.
inline __m512i to_bf16(const __m512i& v, const __m512i& subnormals) {
    const __m512i magnitude = _mm512_and_si512(v, _mm512_set1_epi16(0x7f));
    // Three bits of mantissa move up by four, the exponent's bias becomes 127; of eight subnormals there is a table.
    __m512i bits = _mm512_add_epi16(_mm512_slli_epi16(magnitude, 4), _mm512_set1_epi16(0x3c00));
    bits = _mm512_mask_permutexvar_epi16(bits, _mm512_cmplt_epi16_mask(magnitude, _mm512_set1_epi16(8)), magnitude, subnormals);
    return _mm512_ternarylogic_epi32(_mm512_slli_epi16(v, 8), _mm512_set1_epi16(static_cast<short>(0x8000)), bits, 0xea);  // (a & b) | c
}

/// Columns [column, end) of the product; sums are kept in y without their scales until the last ones are added.
template <int P, int T>
void block(const Panels& w, std::size_t first, std::size_t column, std::size_t end, const std::uint16_t* x, const float* token_scales, float* y, std::size_t ldy) {
    alignas(64) static constexpr std::uint16_t kSubnormals[32] = {0, 0x3b00, 0x3b80, 0x3bc0, 0x3c00, 0x3c20, 0x3c40, 0x3c60};
    const __m512i subnormals = _mm512_load_si512(kSubnormals);
    __m512 acc[P][T];
    const std::uint8_t* p[P];
    __mmask16 mask[P];
    for (int a = 0; a < P; ++a) {
        const std::size_t panel = first + static_cast<std::size_t>(a), left = w.rows - panel * kLanes;
        p[a] = w.panel(panel) + column * kLanes;
        mask[a] = static_cast<__mmask16>(left >= kLanes ? 0xffffu : (1u << left) - 1u);
        if constexpr (T == 1) {  // the streams' beginnings, which nothing has asked for yet
            for (std::size_t i = 0; column == 0 && i < std::min<std::size_t>(1024, w.panel_bytes); i += 64) _mm_prefetch(reinterpret_cast<const char*>(p[a] + i), _MM_HINT_T0);
        }
        for (int t = 0; t < T; ++t) acc[a][t] = column == 0 ? _mm512_setzero_ps() : _mm512_maskz_loadu_ps(mask[a], y + static_cast<std::size_t>(t) * ldy + panel * kLanes);
    }
    x += column * T;
    for (std::size_t c = column; c < end; c += 4, x += 4 * T) {
        __m512bh v[P][2];
        _Pragma("GCC unroll 8") for (int a = 0; a < P; ++a) {
            const __m512i raw = _mm512_loadu_si512(p[a]);
            v[a][0] = reinterpret_cast<__m512bh>(to_bf16(raw, subnormals));
            v[a][1] = reinterpret_cast<__m512bh>(to_bf16(_mm512_srli_epi16(raw, 8), subnormals));
            p[a] += 64;
        }
        _Pragma("GCC unroll 2") for (int h = 0; h < 2; ++h) {
            _Pragma("GCC unroll 12") for (int t = 0; t < T; ++t) {
                std::int32_t pair;
                std::memcpy(&pair, x + 2 * (h * T + t), 4);
                const auto b = reinterpret_cast<__m512bh>(_mm512_set1_epi32(pair));
                _Pragma("GCC unroll 8") for (int a = 0; a < P; ++a) acc[a][t] = _mm512_dpbf16_ps(acc[a][t], v[a][h], b);
            }
        }
    }
    for (int a = 0; a < P; ++a) {
        const std::size_t panel = first + static_cast<std::size_t>(a);
        const __m512 scale = _mm512_loadu_ps(w.row_scales.data() + panel * kLanes);
        const __m512 bias = w.bias.empty() ? _mm512_setzero_ps() : _mm512_loadu_ps(w.bias.data() + panel * kLanes);
        for (int t = 0; t < T; ++t) {
            if (end == w.padded) acc[a][t] = _mm512_fmadd_ps(acc[a][t], _mm512_mul_ps(scale, _mm512_set1_ps(token_scales[t])), bias);
            _mm512_mask_storeu_ps(y + static_cast<std::size_t>(t) * ldy + panel * kLanes, mask[a], acc[a][t]);
        }
    }
}

template <int P, int T>
void block_of(std::size_t count, const Panels& w, std::size_t first, std::size_t column, std::size_t end, const std::uint16_t* x, const float* token_scales, float* y,
              std::size_t ldy) {
    if (count == P) return block<P, T>(w, first, column, end, x, token_scales, y, ldy);
    if constexpr (P > 1) block_of<P - 1, T>(count, w, first, column, end, x, token_scales, y, ldy);
}

template <int T>
void tokens_of(std::uint32_t count, const Panels& w, const Tile& tile, std::size_t column, std::size_t end, const std::uint16_t* x, const float* token_scales, float* y,
               std::size_t ldy) {
    if (count == T) {
        constexpr std::size_t kWide = T <= 2 ? 8 : T <= 5 ? 4 : 2;
        for (std::size_t first = tile.first; first < tile.last;) {
            const std::size_t left = tile.last - first, panels = left >= 2 * kWide ? kWide : left > kWide ? (left + 1) / 2 : left;
            block_of<static_cast<int>(kWide), T>(panels, w, first, column, end, x, token_scales, y, ldy);
            first += panels;
        }
        return;
    }
    if constexpr (T > 1) tokens_of<T - 1>(count, w, tile, column, end, x, token_scales, y, ldy);
}

}  // namespace

void fp8_product(const Panels& w, const Tile& tile, const Bf16Blocks& x, const float* token_scales, float* y, std::size_t ldy) {
    const std::size_t columns = x.tokens == 1 ? w.padded : 1024;  // of a block of tokens: they stay in the first-level cache while the panels go by
    for (std::size_t c = 0; c < w.padded; c += columns) {
        const std::size_t end = std::min<std::size_t>(w.padded, c + columns);
        for (std::uint32_t b = tile.block; b < tile.block_end; ++b) {
            const std::size_t token = std::size_t{b} * kTokenBlock;
            tokens_of<kTokenBlock>(static_cast<std::uint32_t>(std::min<std::size_t>(kTokenBlock, x.tokens - token)), w, tile, c, end, x.values + token * w.padded,
                                   token_scales + token, y + token * ldy, ldy);
        }
    }
}

}  // namespace tenpak::compute::cpu

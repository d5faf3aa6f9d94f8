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

alignas(64) constexpr std::uint16_t kSubnormals[32] = {0, 0x3b00, 0x3b80, 0x3bc0, 0x3c00, 0x3c20, 0x3c40, 0x3c60};

/// The next four columns of a panel as two vectors of pairs.
inline void load(const std::uint8_t* p, const __m512i& subnormals, __m512i (&v)[2]) {
    const __m512i raw = _mm512_loadu_si512(p);
    v[0] = to_bf16(raw, subnormals);
    v[1] = to_bf16(_mm512_srli_epi16(raw, 8), subnormals);
}

/// What a tile of P panels and T tokens works on: columns [column, end) of the product. Sums are kept in y without their
/// scales until the last ones are added.
struct Operands {
    const std::uint16_t* x;  // of the block of tokens
    const float* token_scales;
    std::size_t panel, column, end;
    const std::uint16_t* unpacked;  // the panels' values of these columns as bf16; null: unpacked on the way
};

template <bool Unpacked, int P, int T>
void block(const Panels& w, const Operands& o, float* y, std::size_t ldy) {
    const __m512i subnormals = _mm512_load_si512(kSubnormals);
    __m512 acc[P][T];
    const std::uint8_t* p[P];
    __mmask16 mask[P];
    _Pragma("GCC unroll 8") for (int a = 0; a < P; ++a) {
        const std::size_t panel = o.panel + static_cast<std::size_t>(a), left = w.rows - panel * kLanes;
        if constexpr (Unpacked) p[a] = reinterpret_cast<const std::uint8_t*>(o.unpacked + static_cast<std::size_t>(a) * (o.end - o.column) * kLanes);
        else p[a] = w.panel(panel) + o.column * kLanes;
        mask[a] = static_cast<__mmask16>(left >= kLanes ? 0xffffu : (1u << left) - 1u);
        if constexpr (T == 1 && !Unpacked) {  // the streams' beginnings, which nothing has asked for yet
            for (std::size_t i = 0; i < std::min<std::size_t>(1024, w.panel_bytes); i += 64) _mm_prefetch(reinterpret_cast<const char*>(p[a] + i), _MM_HINT_T0);
        }
        _Pragma("GCC unroll 12") for (int t = 0; t < T; ++t) acc[a][t] = o.column == 0 ? _mm512_setzero_ps() : _mm512_maskz_loadu_ps(mask[a], y + static_cast<std::size_t>(t) * ldy + panel * kLanes);
    }
    const std::uint16_t* x = o.x + o.column * T;
    for (std::size_t c = o.column; c < o.end; c += 4, x += 4 * T) {
        __m512i v[P][2];
        _Pragma("GCC unroll 8") for (int a = 0; a < P; ++a) {
            if constexpr (Unpacked) {
                v[a][0] = _mm512_load_si512(p[a]);
                v[a][1] = _mm512_load_si512(p[a] + 64);
                p[a] += 128;
            } else {
                load(p[a], subnormals, v[a]);
                p[a] += 64;
            }
        }
        _Pragma("GCC unroll 2") for (int h = 0; h < 2; ++h) {
            _Pragma("GCC unroll 12") for (int t = 0; t < T; ++t) {
                std::int32_t pair;
                std::memcpy(&pair, x + 2 * (h * T + t), 4);
                const auto b = reinterpret_cast<__m512bh>(_mm512_set1_epi32(pair));
                _Pragma("GCC unroll 8") for (int a = 0; a < P; ++a) acc[a][t] = _mm512_dpbf16_ps(acc[a][t], reinterpret_cast<__m512bh>(v[a][h]), b);
            }
        }
    }
    _Pragma("GCC unroll 8") for (int a = 0; a < P; ++a) {
        const std::size_t panel = o.panel + static_cast<std::size_t>(a);
        const __m512 scale = _mm512_loadu_ps(w.row_scales.data() + panel * kLanes);
        const __m512 bias = w.bias.empty() ? _mm512_setzero_ps() : _mm512_loadu_ps(w.bias.data() + panel * kLanes);
        _Pragma("GCC unroll 12") for (int t = 0; t < T; ++t) {
            if (o.end == w.padded) acc[a][t] = _mm512_fmadd_ps(acc[a][t], _mm512_mul_ps(scale, _mm512_set1_ps(o.token_scales[t])), bias);
            _mm512_mask_storeu_ps(y + static_cast<std::size_t>(t) * ldy + panel * kLanes, mask[a], acc[a][t]);
        }
    }
}

template <bool Unpacked, int P, int T>
void block_of(std::size_t count, const Panels& w, const Operands& o, float* y, std::size_t ldy) {
    if (count == P) return block<Unpacked, P, T>(w, o, y, ldy);
    if constexpr (P > 1) block_of<Unpacked, P - 1, T>(count, w, o, y, ldy);
}

/// `count` tokens, at most T, of all panels [o.panel, last).
template <bool Unpacked, int T>
void tokens_of(std::uint32_t count, const Panels& w, std::size_t last, Operands o, float* y, std::size_t ldy) {
    if (count == T) {
        constexpr std::size_t kWide = Unpacked ? 2 : T <= 2 ? 8 : 4;
        while (o.panel < last) {
            const std::size_t left = last - o.panel, panels = left >= 2 * kWide ? kWide : left > kWide ? (left + 1) / 2 : left;
            block_of<Unpacked, static_cast<int>(kWide), T>(panels, w, o, y, ldy);
            o.panel += panels;
        }
        return;
    }
    if constexpr (T > 1) tokens_of<Unpacked, T - 1>(count, w, last, o, y, ldy);
}

}  // namespace

void fp8_product(const Panels& w, const Tile& tile, const Bf16Blocks& x, const float* token_scales, float* y, std::size_t ldy, void* scratch) {
    constexpr int kFew = 4;               // tokens for which values are unpacked on the way
    constexpr std::size_t kColumns = 1024;  // of a block of tokens: 24 KiB, in the first-level cache; of two unpacked panels: 64 KiB
    if (x.tokens <= kFew) return tokens_of<false, kFew>(x.tokens, w, tile.last, {x.values, token_scales, tile.first, 0, w.padded, nullptr}, y, ldy);
    auto* values = static_cast<std::uint16_t*>(scratch);
    const __m512i subnormals = _mm512_load_si512(kSubnormals);
    for (std::size_t c = 0; c < w.padded; c += kColumns) {
        const std::size_t end = std::min<std::size_t>(w.padded, c + kColumns);
        for (std::size_t p = tile.first; p < tile.last; p += 2) {
            const std::size_t last = std::min(p + 2, tile.last);
            std::uint16_t* to = values;
            for (std::size_t a = p; a < last; ++a) {
                const std::uint8_t* from = w.panel(a) + c * kLanes;
                for (std::size_t i = c; i < end; i += 4, from += 64, to += 64) {
                    __m512i v[2];
                    load(from, subnormals, v);
                    _mm512_store_si512(to, v[0]);
                    _mm512_store_si512(to + 32, v[1]);
                }
            }
            for (std::uint32_t b = tile.block; b < tile.block_end; ++b) {
                const std::size_t token = std::size_t{b} * kTokenBlock;
                tokens_of<true, kTokenBlock>(static_cast<std::uint32_t>(std::min<std::size_t>(kTokenBlock, x.tokens - token)), w, last,
                                             {x.values + token * w.padded, token_scales + token, p, c, end, values}, y + token * ldy, ldy);
            }
        }
    }
}

}  // namespace tenpak::compute::cpu

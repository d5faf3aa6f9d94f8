// SPDX-License-Identifier: Apache-2.0
// What the products y = W x of quantized weights share: their arguments, and a lane's codes as fp16. Both kernels, linear_gemv.h for
// few tokens and linear_gemm.h for more, multiply with the weights as the A operand (16 rows) and the tokens as columns.
#pragma once
#include "core/compute/cuda/layout.h"

namespace tenpak::compute::gpu {

constexpr u32 kMaxParts = 3;  ///< weights with the same input in one launch (q, k, v; gate, up)
constexpr u32 kGemvRows = 32, kGemvWarps = 8;
constexpr u32 kGemmRows = 128, kGemmStages = 4, kGemmThreads = 256;

struct LinearPart {
    const Word4* codes;
    const u32* scales;  ///< pairs (row g, row g + 8) of fp16
    const u16* zeros;   ///< pairs; null: usual_zeros
    const u32* low;     ///< sparse
    const float* row_scales;
    const float* bias;
    float* y;
    u32 n, first_block;
};
struct LinearArgs {
    LinearPart parts[kMaxParts];
    u32 count;
    u32 blocks, groups, group_shift;
    u32 tokens, token_tiles;
    u32 splits;
    const Word4* x;             ///< tiles of layout.h: [column block][token tile]
    const float* token_scales;
    const float* input;         ///< with outliers: the activations themselves, [tokens][k]
    const u32* outliers;        ///< and which are multiplied in fp32 (outlier_words); null: none
    u32 k;
    u32* partial;               ///< sums of the splits, in the kernel's own order
    u32* counters;              ///< one an output tile, zero before and after
};

template <u32 kFormat>
struct Accumulator {
    using type = float;
};
template <>
struct Accumulator<kFormatInt8Channel> {
    using type = int;
};
TENPAK_HOST_DEVICE u32 bits_of(float v) { return bits_of_float(v); }
TENPAK_HOST_DEVICE u32 bits_of(int v) { return static_cast<u32>(v); }
TENPAK_HOST_DEVICE void of_bits(u32 u, float& v) { v = float_of_bits(u); }
TENPAK_HOST_DEVICE void of_bits(u32 u, int& v) { v = static_cast<int>(u); }

TENPAK_HOST_DEVICE const LinearPart& part_of(const LinearArgs& a, u32 block) {
    u32 p = 0;
    while (p + 1 < a.count && block >= a.parts[p + 1].first_block) ++p;
    return a.parts[p];
}
/// The group of a half column block (32 columns).
TENPAK_HOST_DEVICE u32 group_of(const LinearArgs& a, u32 column_block, u32 half) { return (column_block * 2 + half) >> a.group_shift; }
TENPAK_HOST_DEVICE u32 zero_pair(u32 format, const LinearPart& p, u32 place) { return !has_zeros(format) || p.zeros == nullptr ? usual_zeros(format) : p.zeros[place]; }

/// Sum of outliers times codes of one output, in the order of the columns.
TENPAK_HOST_DEVICE float outlier_sum(const LinearArgs& a, const LinearPart& p, u32 row, u32 token) {
    const OutlierWords words = outlier_words(a.k);
    const u32* const summary = a.outliers + static_cast<std::size_t>(token) * words.all();
    const u32* const codes = reinterpret_cast<const u32*>(p.codes) + static_cast<std::size_t>(row / kRowTile) * a.blocks * kWordsInt8;
    float sum = 0;
    TENPAK_ROLLED for (u32 s = 0; s < words.summary; ++s) {
        TENPAK_ROLLED for (u32 some = summary[s]; some != 0; some &= some - 1) {
            const u32 word = s * 32 + ones_of((some & (0u - some)) - 1u);
            TENPAK_ROLLED for (u32 bits = summary[words.summary + word]; bits != 0; bits &= bits - 1) {
                const u32 column = word * 32 + ones_of((bits & (0u - bits)) - 1u);
                const CodePlace c = int8_channel_place(row % kRowTile, column % kColumnBlock);
                const u32 code = codes[column / kColumnBlock * kWordsInt8 + c.word] >> c.shift & 255u;
                sum += a.input[static_cast<std::size_t>(token) * a.k + column] * static_cast<float>(static_cast<int>(code ^ 128u) - 128);
            }
        }
    }
    return sum;
}
/// A product's outliers where they are not yet in it.
TENPAK_HOST_DEVICE void add_outliers(const LinearArgs& a, const LinearPart& p, u32 row, u32 token) {
    p.y[static_cast<std::size_t>(token) * p.n + row] += outlier_sum(a, p, row, token) * p.row_scales[row];
}
template <class Sum>
TENPAK_HOST_DEVICE void store_linear(const LinearArgs& a, const LinearPart& p, u32 row, u32 token, Sum sum) {
    if (row >= p.n || token >= a.tokens) return;
    const float scaled = static_cast<float>(sum) * p.row_scales[row] * a.token_scales[token];
    p.y[static_cast<std::size_t>(token) * p.n + row] = p.bias == nullptr ? scaled : scaled + p.bias[row];
}

// ---- codes of a lane -----------------------------------------------------------------------------------------------

/// 32-bit words that a lane holds of a tile, and what the conversion of half of it wants.
TENPAK_HOST_DEVICE constexpr u32 lane_words(u32 format) {
    return format == kFormatInt4 || format == kFormatNf4 ? 4 : format == kFormatInt4Residual ? 6 : format == kFormatInt4Sparse ? 9 : 8;
}
TENPAK_HOST_DEVICE constexpr u32 half_words(u32 format) {
    return format == kFormatInt4 || format == kFormatNf4 ? 2 : format == kFormatInt4Residual ? 3 : format == kFormatInt4Sparse ? 6 : 4;
}
template <u32 kFormat>
TENPAK_HOST_DEVICE void load_lane(const u32* tile, u32 lane, u32* w) {
    const Word4 codes = load_stream(reinterpret_cast<const Word4*>(tile) + lane);
    TENPAK_UNROLL for (u32 i = 0; i < 4; ++i) w[i] = codes.w[i];
    if constexpr (kFormat == kFormatInt4Residual) {
        const Word2 low = load_stream(reinterpret_cast<const Word2*>(tile + kResidualAt) + lane);
        w[4] = low.w[0];
        w[5] = low.w[1];
    } else if constexpr (kFormat == kFormatInt4Sparse) {
        const Word4 masks = *(reinterpret_cast<const Word4*>(tile + kMasksAt) + lane / 4);
        TENPAK_UNROLL for (u32 i = 0; i < 4; ++i) w[4 + i] = masks.w[i];
        w[8] = tile[kStartsAt + lane / 4];
    } else if constexpr (lane_words(kFormat) == 8) {
        const Word4 more = load_stream(reinterpret_cast<const Word4*>(tile) + 32 + lane);
        TENPAK_UNROLL for (u32 i = 0; i < 4; ++i) w[4 + i] = more.w[i];
    }
}
/// Not for sparse weights (sparse_lane).
template <u32 kFormat>
TENPAK_HOST_DEVICE void half_of_lane(const u32* w, u32 half, u32* h) {
    if constexpr (lane_words(kFormat) == 8) {
        TENPAK_UNROLL for (u32 i = 0; i < 4; ++i) h[i] = w[half * 4 + i];
    } else {
        h[0] = w[half * 2];
        h[1] = w[half * 2 + 1];
        if constexpr (kFormat == kFormatInt4Residual) h[2] = w[4 + half];
    }
}
/// The same from a tile in shared memory.
template <u32 kFormat>
TENPAK_HOST_DEVICE void load_half(const u32* tile, u32 lane, u32 half, u32* h) {
    if constexpr (lane_words(kFormat) == 8) {
        const Word4 codes = reinterpret_cast<const Word4*>(tile)[half * 32 + lane];
        TENPAK_UNROLL for (u32 i = 0; i < 4; ++i) h[i] = codes.w[i];
    } else {
        const Word2 codes = reinterpret_cast<const Word2*>(tile)[lane * 2 + half];
        h[0] = codes.w[0];
        h[1] = codes.w[1];
        if constexpr (kFormat == kFormatInt4Residual) h[2] = tile[kResidualAt + lane * 2 + half];
    }
}
template <u32 kFormat>
TENPAK_HOST_DEVICE Int4Zero zero_of(u32 zero) {
    if constexpr (kFormat == kFormatInt4) return int4_zero(zero);
    if constexpr (kFormat == kFormatInt4Residual) return residual_zero(zero);
    if constexpr (kFormat == kFormatInt4Sparse) return sparse_multiple(zero);
    return {0, 0};
}
/// Step s of the half tile h as an A fragment.
template <u32 kFormat>
TENPAK_HOST_DEVICE void codes_to_fp16(const u32* h, u32 s, const Int4Zero* zero, u32* a) {
    if constexpr (kFormat == kFormatInt4) int4_to_fp16(h[s], zero, a);
    if constexpr (kFormat == kFormatNf4) nf4_to_fp16(h[s], a);
    if constexpr (kFormat == kFormatInt4Residual) residual_to_fp16(h[s], h[2] >> (8 * s), zero, a);
    if constexpr (kFormat == kFormatInt4Sparse) sparse_to_fp16(h[s], h[2 + s], h[4 + s], zero, a);
    if constexpr (kFormat == kFormatInt8Group) int8_to_fp16(h[2 * s], h[2 * s + 1], a);
    if constexpr (kFormat == kFormatFp8Channel) e4m3_to_fp16(h[2 * s], h[2 * s + 1], a);
}

}  // namespace tenpak::compute::gpu

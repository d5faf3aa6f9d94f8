// SPDX-License-Identifier: Apache-2.0
// y = W x of quantized weights. Both kernels multiply with the weights as the A operand (16 rows) and the tokens as columns:
//   gemv  few tokens: reads each weight once, 16 bytes a lane, straight from memory into registers; 8 warps of a block share
//         32 rows and split the columns, blocks split them further; sums are added in a fixed order
//   gemm  more tokens: 128 rows x 64 or 128 tokens a block, a pipeline of asynchronous copies into shared memory
// gemv applies the scale of a group to fp32 sums; gemm multiplies the codes by it in fp16 (relative to the row's largest,
// row_scales), rounding each weight to 11 bits.
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

// ---- few tokens ----------------------------------------------------------------------------------------------------

template <u32 kFormat, class Sum>
TENPAK_HOST_DEVICE void store_gemv(const LinearArgs& a, const LinearPart& p, u32 row, u32 token, Sum sum) {
    store_linear(a, p, row, token, sum);
    if constexpr (kFormat == kFormatInt8Channel) {
        if (a.outliers != nullptr && row < p.n && token < a.tokens) add_outliers(a, p, row, token);
    }
}

/// Shared memory: the sums of 8 warps.
template <u32 kTiles>
constexpr u32 gemv_shared_bytes() {
    return kGemvWarps * kGemvRows * kTiles * kTokenTile * 4;
}
/// Grid: (blocks of 32 rows of all parts, splits), 256 threads. kTiles: tiles of 8 tokens.
template <u32 kFormat, u32 kTiles, class Block>
TENPAK_HOST_DEVICE void gemv_body(const Block& block, const LinearArgs& a) {
    using Sum = typename Accumulator<kFormat>::type;
    using Lanes = typename Block::Lanes;
    constexpr u32 kRowTiles = kGemvRows / kRowTile;
    constexpr u32 kWords = words_per_tile(kFormat), kLaneWords = lane_words(kFormat), kHalfWords = half_words(kFormat);
    // Column blocks whose operands are in flight at once: as many as the registers of two blocks a processor hold.
    constexpr u32 kBatch = kTiles == 4 || kFormat == kFormatInt4Sparse ? 1 : kTiles == 2 || kLaneWords != 4 ? 2 : 4;
    constexpr u32 kXWide = kFormat == kFormatInt8Channel ? 1 : 2;
    const LinearPart& p = part_of(a, block.x);
    const u32 row_block = block.x - p.first_block, row_tile = row_block * kRowTiles;
    const u32 per_split = (a.blocks + a.splits - 1) / a.splits;
    const u32 begin = min_of(block.y * per_split, a.blocks), end = min_of(begin + per_split, a.blocks);
    u32* const sums = reinterpret_cast<u32*>(block.shared);
    const u32* const tiles = reinterpret_cast<const u32*>(p.codes) + static_cast<std::size_t>(row_tile) * a.blocks * kWords;
    const u32* const tile_scales = p.scales + static_cast<std::size_t>(row_tile) * a.groups * 8;
    const u16* const tile_zeros = p.zeros == nullptr ? nullptr : p.zeros + static_cast<std::size_t>(row_tile) * a.groups * 8;

    block.start_successor();
    block.each_warp([&](const Lanes& lanes, u32 warp, u32) {
        Sum acc[Lanes::kCopies][kRowTiles][kTiles][4];
        u32 weights[Lanes::kCopies][kBatch][kRowTiles][kLaneWords], kept[Lanes::kCopies][4], low[Lanes::kCopies][4];
        Word4 x[Lanes::kCopies][kBatch][kTiles][kXWide];
        u32 scales[Lanes::kCopies][kBatch][kRowTiles], zeros[Lanes::kCopies][kBatch][kRowTiles];
        u32 fragments[Lanes::kCopies][4];
        float products[Lanes::kCopies][kTiles][4];
        lanes.each([&](u32, u32 i) {
            TENPAK_UNROLL for (u32 r = 0; r < kRowTiles; ++r)
                TENPAK_UNROLL for (u32 t = 0; t < kTiles; ++t)
                    TENPAK_UNROLL for (u32 e = 0; e < 4; ++e) acc[i][r][t][e] = 0;
        });
        TENPAK_ROLLED for (u32 first = begin + warp; first < end; first += kGemvWarps * kBatch) {
            lanes.each([&](u32 lane, u32 i) {
                TENPAK_UNROLL for (u32 b = 0; b < kBatch; ++b) {
                    const u32 kb = min_of(first + b * kGemvWarps, end - 1);  // behind the end something is loaded, and not used
                    const u32 group = group_of(a, kb, 0);
                    TENPAK_UNROLL for (u32 r = 0; r < kRowTiles; ++r) {
                        load_lane<kFormat>(tiles + static_cast<std::size_t>(r * a.blocks + kb) * kWords, lane, weights[i][b][r]);
                        if constexpr (!has_row_scale(kFormat)) {
                            const u32 place = (r * a.groups + group) * 8 + lane / 4;
                            scales[i][b][r] = tile_scales[place];
                            zeros[i][b][r] = has_zeros(kFormat) && tile_zeros != nullptr ? tile_zeros[place] : usual_zeros(kFormat);
                        }
                    }
                }
            });
            if (first == begin + warp) block.wait_predecessor();  // the first weights are on their way meanwhile
            lanes.each([&](u32 lane, u32 i) {
                TENPAK_UNROLL for (u32 b = 0; b < kBatch; ++b) {
                    const u32 kb = first + b * kGemvWarps;
                    TENPAK_UNROLL for (u32 t = 0; t < kTiles; ++t) {
                        // Lanes of tokens that are not there load nothing: at one token that is 7 of 8.
                        const bool there = kb < end && t * kTokenTile + lane / 4 < a.tokens;
                        TENPAK_UNROLL for (u32 v = 0; v < kXWide; ++v) x[i][b][t][v] = load_where(there, a.x + ((kb * a.token_tiles + t) * kXWide + v) * 32 + lane);
                    }
                }
            });
            TENPAK_UNROLL for (u32 b = 0; b < kBatch; ++b) {
                const u32 kb = first + b * kGemvWarps;
                if (kb >= end) break;
                if constexpr (kFormat == kFormatInt8Channel) {
                    TENPAK_UNROLL for (u32 r = 0; r < kRowTiles; ++r)
                        TENPAK_UNROLL for (u32 s = 0; s < 2; ++s)
                            TENPAK_UNROLL for (u32 t = 0; t < kTiles; ++t)
                                lanes.mma_s8([&](u32 i) { return acc[i][r][t]; }, [&](u32 i) { return weights[i][b][r] + s * 4; },
                                             [&](u32 i) { return x[i][b][t][0].w + s * 2; });
                } else {
                    TENPAK_UNROLL for (u32 r = 0; r < kRowTiles; ++r) {
                        if constexpr (kFormat == kFormatInt4Sparse) {
                            lanes.each([&](u32 lane, u32 i) {
                                const u32* const row = p.low + (static_cast<std::size_t>(row_tile + r) * kRowTile + lane / 4) * a.blocks * 2;
                                const u32* const rows[2] = {row, row + static_cast<std::size_t>(8) * a.blocks * 2};
                                sparse_lane(weights[i][b][r] + 4, weights[i][b][r][8], lane % 4, rows, kept[i], low[i]);
                            });
                        }
                        TENPAK_UNROLL for (u32 half = 0; half < 2; ++half) {
                            if constexpr (!has_row_scale(kFormat)) {
                                lanes.each([&](u32 lane, u32 i) {
                                    if (half == 1 && a.group_shift == 0) {  // groups of 32: the second half has its own
                                        const u32 place = (r * a.groups + group_of(a, kb, 1)) * 8 + lane / 4;
                                        scales[i][b][r] = tile_scales[place];
                                        if (has_zeros(kFormat) && tile_zeros != nullptr) zeros[i][b][r] = tile_zeros[place];
                                    }
                                    TENPAK_UNROLL for (u32 t = 0; t < kTiles; ++t)
                                        TENPAK_UNROLL for (u32 e = 0; e < 4; ++e) products[i][t][e] = 0;
                                });
                            }
                            TENPAK_UNROLL for (u32 s = 0; s < 2; ++s) {
                                lanes.each([&](u32, u32 i) {
                                    u32 codes[kHalfWords];
                                    if constexpr (kFormat == kFormatInt4Sparse) {
                                        TENPAK_UNROLL for (u32 q = 0; q < 2; ++q) {
                                            codes[q] = weights[i][b][r][half * 2 + q];
                                            codes[2 + q] = kept[i][half * 2 + q];
                                            codes[4 + q] = low[i][half * 2 + q];
                                        }
                                    } else {
                                        half_of_lane<kFormat>(weights[i][b][r], half, codes);
                                    }
                                    Int4Zero zero[2] = {{0, 0}, {0, 0}};
                                    if constexpr (has_zeros(kFormat)) {
                                        zero[0] = zero_of<kFormat>(zeros[i][b][r] & 0xffu);
                                        zero[1] = zero_of<kFormat>(zeros[i][b][r] >> 8);
                                    }
                                    codes_to_fp16<kFormat>(codes, s, zero, fragments[i]);
                                });
                                TENPAK_UNROLL for (u32 t = 0; t < kTiles; ++t) {
                                    if constexpr (has_row_scale(kFormat)) {
                                        lanes.mma_f16([&](u32 i) { return acc[i][r][t]; }, [&](u32 i) { return fragments[i]; },
                                                      [&](u32 i) { return x[i][b][t][half].w + s * 2; });
                                    } else {
                                        lanes.mma_f16([&](u32 i) { return products[i][t]; }, [&](u32 i) { return fragments[i]; },
                                                      [&](u32 i) { return x[i][b][t][half].w + s * 2; });
                                    }
                                }
                            }
                            if constexpr (!has_row_scale(kFormat)) {
                                lanes.each([&](u32, u32 i) {
                                    const float upper = low_half(scales[i][b][r]), lower = high_half(scales[i][b][r]);  // rows g, g + 8
                                    TENPAK_UNROLL for (u32 t = 0; t < kTiles; ++t) {
                                        acc[i][r][t][0] += products[i][t][0] * upper;
                                        acc[i][r][t][1] += products[i][t][1] * upper;
                                        acc[i][r][t][2] += products[i][t][2] * lower;
                                        acc[i][r][t][3] += products[i][t][3] * lower;
                                    }
                                });
                            }
                        }
                    }
                }
            }
        }
        lanes.each([&](u32 lane, u32 i) {
            TENPAK_UNROLL for (u32 r = 0; r < kRowTiles; ++r)
                TENPAK_UNROLL for (u32 t = 0; t < kTiles; ++t)
                    TENPAK_UNROLL for (u32 e = 0; e < 4; ++e) sums[((warp * kRowTiles + r) * kTiles + t) * 128 + e * 32 + lane] = bits_of(acc[i][r][t][e]);
        });
    });
    block.wait_predecessor();  // in warps without columns, too
    block.sync();
    constexpr u32 kOutputs = kGemvRows * kTiles * kTokenTile;
    const u32 row_blocks = a.parts[a.count - 1].first_block + (a.parts[a.count - 1].n + kGemvRows - 1) / kGemvRows;
    block.each_thread([&](u32 thread, u32) {
        for (u32 o = thread; o < kOutputs; o += kGemvWarps * 32) {
            const u32 token = o / kGemvRows, row = o % kGemvRows, column = token % kTokenTile;
            const u32 at = (row / kRowTile * kTiles + token / kTokenTile) * 128 + (row % 16 / 8 * 2 + column % 2) * 32 + row % 8 * 4 + column / 2;
            Sum sum = 0;
            for (u32 w = 0; w < kGemvWarps; ++w) {
                Sum v;
                of_bits(sums[w * kOutputs + at], v);
                sum += v;
            }
            if (a.splits == 1) {
                store_gemv<kFormat>(a, p, row_block * kGemvRows + row, token, sum);
            } else {
                a.partial[(static_cast<std::size_t>(block.y) * row_blocks + block.x) * kOutputs + o] = bits_of(sum);
            }
        }
    });
    if (a.splits == 1 || !block.last_to_arrive(a.counters + block.x, a.splits)) return;
    block.each_thread([&](u32 thread, u32) {
        for (u32 o = thread; o < kOutputs; o += kGemvWarps * 32) {
            Sum sum = 0;
            for (u32 split = 0; split < a.splits; ++split) {
                Sum v;
                of_bits(a.partial[(static_cast<std::size_t>(split) * row_blocks + block.x) * kOutputs + o], v);
                sum += v;
            }
            store_gemv<kFormat>(a, p, row_block * kGemvRows + o % kGemvRows, o / kGemvRows, sum);
        }
    });
}

// ---- more tokens ---------------------------------------------------------------------------------------------------

template <u32 kFormat, u32 kTokens>
struct GemmShape {
    static constexpr u32 kWeightBytes = kGemmRows / kRowTile * words_per_tile(kFormat) * 4;
    static constexpr u32 kInputBytes = kTokens / kTokenTile * kActivationWords * 4 / (kFormat == kFormatInt8Channel ? 2 : 1);
    static constexpr u32 kStageBytes = kWeightBytes + kInputBytes;
    static constexpr u32 kSharedBytes = kStageBytes * kGemmStages;
    static constexpr u32 kTileOutputs = kGemmRows * kTokens;
};

template <u32 kFormat, u32 kTokens, class Block>
TENPAK_HOST_DEVICE void gemm_load(const Block& block, const LinearArgs& a, const LinearPart& p, u32 row_tile, u32 kb, unsigned char* stage) {
    using Shape = GemmShape<kFormat, kTokens>;
    constexpr u32 kTileBytes = Shape::kWeightBytes / (kGemmRows / kRowTile), kXTileBytes = Shape::kInputBytes / (kTokens / kTokenTile);
    const u32 row_tiles = (p.n + kRowPadding - 1) / kRowPadding * (kRowPadding / kRowTile), token_tile = block.y * (kTokens / kTokenTile);
    const unsigned char* const codes = reinterpret_cast<const unsigned char*>(p.codes);
    const unsigned char* const x = reinterpret_cast<const unsigned char*>(a.x);
    block.each_thread([&](u32 thread, u32) {
        TENPAK_UNROLL for (u32 c = 0; c < (Shape::kWeightBytes / 16 + kGemmThreads - 1) / kGemmThreads; ++c) {
            const u32 at = (c * kGemmThreads + thread) * 16, tile = row_tile + at / kTileBytes;
            if (Shape::kWeightBytes / 16 % kGemmThreads != 0 && at >= Shape::kWeightBytes) break;
            const bool there = tile < row_tiles;
            block.copy16(stage + at, codes + (static_cast<std::size_t>(there ? tile : 0) * a.blocks + kb) * kTileBytes + at % kTileBytes, there);
        }
        TENPAK_UNROLL for (u32 c = 0; c < Shape::kInputBytes / 16 / kGemmThreads; ++c) {
            const u32 at = (c * kGemmThreads + thread) * 16, tile = token_tile + at / kXTileBytes;
            const bool there = tile < a.token_tiles;
            block.copy16(stage + Shape::kWeightBytes + at, x + (static_cast<std::size_t>(kb) * a.token_tiles + (there ? tile : 0)) * kXTileBytes + at % kXTileBytes, there);
        }
    });
}

/// Grid: (blocks of 128 rows of all parts, blocks of kTokens tokens, splits), 256 threads: 4 x 2 warps of 32 rows x kTokens / 2.
template <u32 kFormat, u32 kTokens, class Block>
TENPAK_HOST_DEVICE void gemm_body(const Block& block, const LinearArgs& a) {
    using Shape = GemmShape<kFormat, kTokens>;
    using Sum = typename Accumulator<kFormat>::type;
    using Lanes = typename Block::Lanes;
    constexpr u32 kRowTiles = 2, kTiles = kTokens / 2 / kTokenTile, kCopies = Lanes::kCopies;
    const LinearPart& p = part_of(a, block.x);
    const u32 row_tile = (block.x - p.first_block) * (kGemmRows / kRowTile);
    const u32 last_tile = (p.n + kRowPadding - 1) / kRowPadding * (kRowPadding / kRowTile) - 1;
    const u32 per_split = (a.blocks + a.splits - 1) / a.splits;
    const u32 begin = min_of(block.z * per_split, a.blocks), end = min_of(begin + per_split, a.blocks);
    block.start_successor();
    block.wait_predecessor();
    Sum acc[Block::kWarpCopies][kCopies][kRowTiles][kTiles][4];
    block.each_warp([&](const Lanes& lanes, u32, u32 wi) {
        lanes.each([&](u32, u32 i) {
            TENPAK_UNROLL for (u32 r = 0; r < kRowTiles; ++r)
                TENPAK_UNROLL for (u32 t = 0; t < kTiles; ++t)
                    TENPAK_UNROLL for (u32 e = 0; e < 4; ++e) acc[wi][i][r][t][e] = 0;
        });
    });
    // The scales of the next column block are fetched while this one is multiplied.
    u32 next_scales[Block::kWarpCopies][kCopies][kRowTiles], next_zeros[Block::kWarpCopies][kCopies][kRowTiles];
    const auto fetch = [&](const Lanes& lanes, u32 warp, u32 wi, u32 kb, u32 half) {
        if constexpr (!has_row_scale(kFormat)) {
            const u32 group = group_of(a, min_of(kb, end - 1), half);
            lanes.each([&](u32 lane, u32 i) {
                TENPAK_UNROLL for (u32 r = 0; r < kRowTiles; ++r) {
                    const u32 place = (min_of(row_tile + warp / 2 * kRowTiles + r, last_tile) * a.groups + group) * 8 + lane / 4;
                    next_scales[wi][i][r] = p.scales[place];
                    if constexpr (has_zeros(kFormat)) next_zeros[wi][i][r] = zero_pair(kFormat, p, place);
                }
            });
        }
    };
    if (begin < end) block.each_warp([&](const Lanes& lanes, u32 warp, u32 wi) { fetch(lanes, warp, wi, begin, 0); });
    for (u32 s = 0; s + 1 < kGemmStages; ++s) {
        if (begin + s < end) gemm_load<kFormat, kTokens>(block, a, p, row_tile, begin + s, block.shared + s * Shape::kStageBytes);
        block.commit();
    }
    TENPAK_ROLLED for (u32 kb = begin; kb < end; ++kb) {
        block.template wait<static_cast<int>(kGemmStages) - 2>();
        block.sync();  // the stage is there, and everybody is done with the one that is loaded next
        const u32 ahead = kb + kGemmStages - 1;
        if (ahead < end) gemm_load<kFormat, kTokens>(block, a, p, row_tile, ahead, block.shared + (ahead - begin) % kGemmStages * Shape::kStageBytes);
        block.commit();
        const unsigned char* const stage = block.shared + (kb - begin) % kGemmStages * Shape::kStageBytes;
        const Word4* const weights = reinterpret_cast<const Word4*>(stage);
        const Word4* const inputs = reinterpret_cast<const Word4*>(stage + Shape::kWeightBytes);
        block.each_warp([&](const Lanes& lanes, u32 warp, u32 wi) {
            const u32 tile0 = warp / 2 * kRowTiles, x0 = warp % 2 * kTiles;
            Word4 x[kCopies][kTiles];
            u32 fragments[kCopies][4];
            if constexpr (kFormat == kFormatInt8Channel) {
                Word4 codes[kCopies];
                lanes.each([&](u32 lane, u32 i) {
                    TENPAK_UNROLL for (u32 t = 0; t < kTiles; ++t) x[i][t] = inputs[(x0 + t) * 32 + lane];
                });
                TENPAK_UNROLL for (u32 r = 0; r < kRowTiles; ++r) {
                    TENPAK_UNROLL for (u32 s = 0; s < 2; ++s) {
                        lanes.each([&](u32 lane, u32 i) { codes[i] = weights[((tile0 + r) * 2 + s) * 32 + lane]; });
                        TENPAK_UNROLL for (u32 t = 0; t < kTiles; ++t)
                            lanes.mma_s8([&](u32 i) { return acc[wi][i][r][t]; }, [&](u32 i) { return codes[i].w; }, [&](u32 i) { return x[i][t].w + s * 2; });
                    }
                }
            } else {
                TENPAK_UNROLL for (u32 half = 0; half < 2; ++half) {
                    if (half == 1 && a.group_shift == 0) fetch(lanes, warp, wi, kb, 1);
                    u32 scales[kCopies][kRowTiles], zeros[kCopies][kRowTiles];
                    lanes.each([&](u32 lane, u32 i) {
                        TENPAK_UNROLL for (u32 t = 0; t < kTiles; ++t) x[i][t] = inputs[((x0 + t) * 2 + half) * 32 + lane];
                        TENPAK_UNROLL for (u32 r = 0; r < kRowTiles; ++r) {
                            if constexpr (!has_row_scale(kFormat)) scales[i][r] = next_scales[wi][i][r];
                            if constexpr (has_zeros(kFormat)) zeros[i][r] = next_zeros[wi][i][r];
                        }
                    });
                    if (half == 1) fetch(lanes, warp, wi, kb + 1, 0);
                    TENPAK_UNROLL for (u32 r = 0; r < kRowTiles; ++r) {
                        u32 scale[kCopies][2], codes[kCopies][half_words(kFormat)];
                        Int4Zero zero[kCopies][2];
                        lanes.each([&](u32 lane, u32 i) {
                            if constexpr (!has_row_scale(kFormat)) {
                                const u32 pair = scales[i][r];
                                scale[i][0] = pack2(static_cast<u16>(pair & 0xffffu), static_cast<u16>(pair & 0xffffu));
                                scale[i][1] = pack2(static_cast<u16>(pair >> 16), static_cast<u16>(pair >> 16));
                            }
                            if constexpr (has_zeros(kFormat)) {
                                zero[i][0] = zero_of<kFormat>(zeros[i][r] & 0xffu);
                                zero[i][1] = zero_of<kFormat>(zeros[i][r] >> 8);
                            }
                            load_half<kFormat>(reinterpret_cast<const u32*>(stage) + (tile0 + r) * words_per_tile(kFormat), lane, half, codes[i]);
                        });
                        TENPAK_UNROLL for (u32 s = 0; s < 2; ++s) {
                            lanes.each([&](u32, u32 i) {
                                codes_to_fp16<kFormat>(codes[i], s, zero[i], fragments[i]);
                                if constexpr (!has_row_scale(kFormat)) {
                                    TENPAK_UNROLL for (u32 e = 0; e < 4; ++e) fragments[i][e] = half2_mul(fragments[i][e], scale[i][e % 2]);
                                }
                            });
                            TENPAK_UNROLL for (u32 t = 0; t < kTiles; ++t)
                                lanes.mma_f16([&](u32 i) { return acc[wi][i][r][t]; }, [&](u32 i) { return fragments[i]; }, [&](u32 i) { return x[i][t].w + s * 2; });
                        }
                    }
                }
            }
        });
    }
    block.template wait<0>();
    // Sums of other splits are added by the block that comes last, in the order of the splits.
    const u32 row_blocks = a.parts[a.count - 1].first_block + (a.parts[a.count - 1].n + kGemmRows - 1) / kGemmRows;
    const u32 token_blocks = (a.tokens + kTokens - 1) / kTokens, tile = block.y * row_blocks + block.x;
    const auto each_output = [&](const auto& f) {
        block.each_warp([&](const Lanes& lanes, u32 warp, u32 wi) {
            lanes.each([&](u32 lane, u32 i) {
                TENPAK_UNROLL for (u32 r = 0; r < kRowTiles; ++r) {
                    TENPAK_UNROLL for (u32 t = 0; t < kTiles; ++t) {
                        TENPAK_UNROLL for (u32 e = 0; e < 4; ++e) {
                            const u32 row = (row_tile + warp / 2 * kRowTiles + r) * kRowTile + e / 2 * 8 + lane / 4;
                            const u32 token = block.y * kTokens + (warp % 2 * kTiles + t) * kTokenTile + lane % 4 * 2 + e % 2;
                            f(acc[wi][i][r][t][e], ((r * kTiles + t) * 4 + e) * kGemmThreads + warp * 32 + lane, row, token);
                        }
                    }
                }
            });
        });
    };
    if (a.splits == 1) {
        each_output([&](Sum sum, u32, u32 row, u32 token) { store_linear(a, p, row, token, sum); });
        return;
    }
    const auto partial = [&](u32 split) { return a.partial + (static_cast<std::size_t>(split) * row_blocks * token_blocks + tile) * Shape::kTileOutputs; };
    each_output([&](Sum sum, u32 at, u32, u32) { partial(block.z)[at] = bits_of(sum); });
    if (!block.last_to_arrive(a.counters + tile, a.splits)) return;
    each_output([&](Sum, u32 at, u32 row, u32 token) {
        Sum sum = 0;
        TENPAK_ROLLED for (u32 split = 0; split < a.splits; ++split) {
            Sum v;
            of_bits(partial(split)[at], v);
            sum += v;
        }
        store_linear(a, p, row, token, sum);
    });
}

constexpr u32 kOutlierRows = 256;
/// What gemm leaves out. Grid: (tokens, blocks of 256 rows), 256 threads.
template <class Block>
TENPAK_HOST_DEVICE void outlier_body(const Block& block, const LinearArgs& a, u32 part) {
    const LinearPart& p = a.parts[part];
    block.start_successor();
    block.wait_predecessor();
    block.each_thread([&](u32 thread, u32) {
        const u32 row = block.y * kOutlierRows + thread;
        if (row < p.n) add_outliers(a, p, row, block.x);
    });
}

// ---- dense, one to four tokens -------------------------------------------------------------------------------------

struct DensePart {
    const void* weight;  ///< [n][stride]
    const float* bias;
    float* y;
    u32 n, first_block;
};
struct DenseArgs {
    DensePart parts[kMaxParts];
    u32 count, k, stride, tokens;
    bool bf16, vector;   ///< vector: k and x allow 16-byte loads
    const float* x;      ///< [tokens][k]
};
constexpr u32 kDenseRows = 16;  ///< of a block: 8 warps, two rows each

struct alignas(16) Float4 {
    float v[4];
};

/// Grid: (blocks of 16 rows of all parts), 256 threads. kBytes: of a weight.
template <u32 kBytes, u32 kTokens, class Block>
TENPAK_HOST_DEVICE void dense_gemv_body(const Block& block, const DenseArgs& a) {
    using Lanes = typename Block::Lanes;
    constexpr u32 kEach = 16 / kBytes, kRows = 2;
    u32 part = 0;
    while (part + 1 < a.count && block.x >= a.parts[part + 1].first_block) ++part;
    const DensePart& p = a.parts[part];
    const u32 block_row = (block.x - p.first_block) * kDenseRows;
    block.start_successor();
    block.wait_predecessor();
    block.each_warp([&](const Lanes& lanes, u32 warp, u32) {
        const u32 row = block_row + warp * kRows;
        if (row >= p.n) return;
        float acc[Lanes::kCopies][kRows][kTokens];
        lanes.each([&](u32 lane, u32 i) {
            TENPAK_UNROLL for (u32 r = 0; r < kRows; ++r)
                TENPAK_UNROLL for (u32 t = 0; t < kTokens; ++t) acc[i][r][t] = 0;
            const Word4* rows[kRows];
            TENPAK_UNROLL for (u32 r = 0; r < kRows; ++r)
                rows[r] = static_cast<const Word4*>(p.weight) + static_cast<std::size_t>(min_of(row + r, p.n - 1)) * (a.stride / kEach);
#ifdef __CUDA_ARCH__
#pragma unroll 4
#endif
            for (u32 at = lane; at < a.stride / kEach; at += 32) {
                float w[kRows][kEach];
                TENPAK_UNROLL for (u32 r = 0; r < kRows; ++r) {
                    const Word4 word = load_stream(rows[r] + at);
                    TENPAK_UNROLL for (u32 e = 0; e < kEach; ++e) {
                        if constexpr (kBytes == 4) {
                            w[r][e] = float_of_bits(word.w[e]);
                        } else {
                            const u16 h = static_cast<u16>(word.w[e / 2] >> (16 * (e % 2)));
                            w[r][e] = a.bf16 ? bf16_value(h) : fp16_value(h);
                        }
                    }
                }
                const u32 column = at * kEach;
                TENPAK_UNROLL for (u32 t = 0; t < kTokens; ++t) {
                    if (t >= a.tokens) break;
                    const float* const x = a.x + static_cast<std::size_t>(t) * a.k;
                    float v[kEach];
                    if (a.vector && column + kEach <= a.k) {
                        TENPAK_UNROLL for (u32 q = 0; q < kEach / 4; ++q) {
                            const Float4 f = *reinterpret_cast<const Float4*>(x + column + 4 * q);
                            TENPAK_UNROLL for (u32 e = 0; e < 4; ++e) v[4 * q + e] = f.v[e];
                        }
                    } else {
                        TENPAK_UNROLL for (u32 e = 0; e < kEach; ++e) v[e] = column + e < a.k ? x[column + e] : 0.0f;
                    }
                    TENPAK_UNROLL for (u32 r = 0; r < kRows; ++r)
                        TENPAK_UNROLL for (u32 e = 0; e < kEach; ++e) acc[i][r][t] += w[r][e] * v[e];
                }
            }
        });
        TENPAK_UNROLL for (u32 r = 0; r < kRows; ++r) {
            TENPAK_UNROLL for (u32 t = 0; t < kTokens; ++t) {
                lanes.reduce(32, [&](u32 i) -> float& { return acc[i][r][t]; }, [](float x, float y) { return x + y; });
                lanes.each([&](u32 lane, u32 i) {
                    if (lane != 0 || t >= a.tokens || row + r >= p.n) return;
                    p.y[static_cast<std::size_t>(t) * p.n + row + r] = acc[i][r][t] + (p.bias == nullptr ? 0.0f : p.bias[row + r]);
                });
            }
        }
    });
}

// ---- quantized weights as fp16 rows, for the dense library ---------------------------------------------------------

TENPAK_HOST_DEVICE const u32* sparse_row(const LinearArgs& a, const LinearPart& p, u32 row) { return p.low == nullptr ? nullptr : p.low + static_cast<std::size_t>(row) * a.blocks * 2; }
/// to[n padded to 32][blocks * 64]: weights relative to row_scales. Grid: (column blocks, row tiles), 256 threads.
template <class Block>
TENPAK_HOST_DEVICE void dequantize_body(const Block& block, const LinearArgs& a, u32 format, u16* to) {
    const LinearPart& p = a.parts[0];
    block.start_successor();
    block.wait_predecessor();
    const u32* const words = reinterpret_cast<const u32*>(p.codes) + (static_cast<std::size_t>(block.y) * a.blocks + block.x) * words_per_tile(format);
    block.each_thread([&](u32 thread, u32) {
        TENPAK_UNROLL for (u32 j = 0; j < 2; ++j) {
            const u32 pair = thread * 2 + j, row = pair / 32, column = pair % 32 * 2;  // two neighbours at once
            const u32 group = group_of(a, block.x, column / 32), place = (block.y * a.groups + group) * 8 + row % 8;
            const float scale = has_row_scale(format) ? 1.0f : fp16_value(static_cast<u16>(p.scales[place] >> (row / 8 * 16)));
            const u32 zero = zero_pair(format, p, place) >> (row / 8 * 8) & 0xffu;
            const u32* const low = sparse_row(a, p, block.y * kRowTile + row);
            float v[2];
            TENPAK_UNROLL for (u32 e = 0; e < 2; ++e) v[e] = code_value(format, words, low, row, column + e, zero);
            const std::size_t at = (static_cast<std::size_t>(block.y) * kRowTile + row) * a.blocks * kColumnBlock + block.x * kColumnBlock + column;
            *reinterpret_cast<u32*>(to + at) = pack_fp16(v[0] * scale, v[1] * scale);
        }
    });
}

/// Sparse weights as tiles of 8-bit codes, exactly: what the matrix kernel takes. Grid: (column blocks, row tiles), 256 threads.
template <class Block>
TENPAK_HOST_DEVICE void expand_body(const Block& block, const LinearArgs& a, u32* to) {
    const LinearPart& p = a.parts[0];
    block.start_successor();
    block.wait_predecessor();
    const std::size_t tile = static_cast<std::size_t>(block.y) * a.blocks + block.x;
    const u32* const words = reinterpret_cast<const u32*>(p.codes) + tile * kWordsSparse;
    block.each_thread([&](u32 thread, u32) {
        // int8_group_place, the other way round.
        const u32 lane = thread / 4 % 32, step = thread / 128 * 2 + thread % 4 / 2, row = lane / 4 + thread % 2 * 8, first = step * 16 + lane % 4 * 4;
        const u32 place = (block.y * a.groups + group_of(a, block.x, first / 32)) * 8 + row % 8;
        const int multiple = static_cast<int>(zero_pair(kFormatInt4Sparse, p, place) >> (row / 8 * 8) & 0xffu);
        u32 word = 0;
        TENPAK_UNROLL for (u32 c = 0; c < 4; ++c)
            word |= (static_cast<u32>(sparse_code(words, sparse_row(a, p, block.y * kRowTile + row), row, first + c, multiple)) & 255u) << (8 * c);
        to[tile * kWordsInt8 + thread] = word ^ 0x80808080u;
    });
}

}  // namespace tenpak::compute::gpu

// SPDX-License-Identifier: Apache-2.0
// y = W x of quantized weights for few tokens: reads each weight once, 16 bytes a lane, straight from memory into registers; 8 warps
// of a block share 32 rows and split the columns, blocks split them further; sums are added in a fixed order. The scale of a
// group is applied to fp32 sums.
#pragma once
#include "core/compute/cuda/linear.h"

namespace tenpak::compute::gpu {

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

}  // namespace tenpak::compute::gpu

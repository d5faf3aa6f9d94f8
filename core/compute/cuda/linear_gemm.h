// SPDX-License-Identifier: Apache-2.0
// y = W x of quantized weights for more tokens: 128 rows x 64 or 128 tokens a block, a pipeline of asynchronous copies into shared
// memory. Codes are multiplied by their group's scale in fp16 (relative to the row's largest, row_scales), which rounds each
// weight to 11 bits. Outliers (LLM.int8) are added behind it.
#pragma once
#include "core/compute/cuda/linear.h"

namespace tenpak::compute::gpu {

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

}  // namespace tenpak::compute::gpu

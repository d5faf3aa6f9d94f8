// SPDX-License-Identifier: Apache-2.0
// h[k][k] += x^T x in fp32 (no TF32), and sums of |x|: what AWQ and GPTQ want of a calibration text. Tiles of 128 x 128 on and above
// the diagonal, each summed by one block in the order of the tokens and written to both of its places, so that h stays
// symmetric and the same calls give the same bits.
#pragma once
#include "core/compute/cuda/layout.h"

namespace tenpak::compute::gpu {

constexpr u32 kGramTile = 128, kGramTokens = 16, kGramThreads = 256;
constexpr u32 kGramStage = kGramTokens * kGramTile * 2;  ///< floats: a run of tokens of the tile's rows, then of its columns
constexpr u32 kGramSharedBytes = 2 * kGramStage * 4;

struct GramArgs {
    const float* x;  ///< [tokens][k]
    float* h;        ///< symmetric
    float* sums;     ///< [k] += |x| of each column; null: not wanted
    u32 tokens, k;
    bool vector;     ///< rows of x allow 16-byte loads
};
TENPAK_HOST_DEVICE u32 gram_blocks(u32 k) {
    const u32 tiles = (k + kGramTile - 1) / kGramTile;
    return tiles * (tiles + 1) / 2;
}

template <class Block>
TENPAK_HOST_DEVICE void gram_load(const Block& block, const GramArgs& a, u32 row, u32 column, u32 first, float* stage) {
    block.each_thread([&](u32 thread, u32) {
        TENPAK_UNROLL for (u32 c = 0; c < kGramStage / 4 / kGramThreads; ++c) {
            const u32 at = (c * kGramThreads + thread) * 4, place = at % (kGramTokens * kGramTile);
            const u32 token = first + place / kGramTile, from = (at == place ? row : column) + place % kGramTile;
            if (a.vector) {
                const bool there = token < a.tokens && from < a.k;
                block.copy16(stage + at, there ? a.x + static_cast<std::size_t>(token) * a.k + from : a.x, there);
            } else {
                for (u32 e = 0; e < 4; ++e) stage[at + e] = token < a.tokens && from + e < a.k ? a.x[static_cast<std::size_t>(token) * a.k + from + e] : 0.0f;
            }
        }
    });
}

/// Grid: gram_blocks(k), 256 threads of 8 x 8 sums: two runs of 4 rows and 4 columns, 64 apart.
template <class Block>
TENPAK_HOST_DEVICE void gram_body(const Block& block, const GramArgs& a) {
    block.start_successor();
    block.wait_predecessor();
    u32 tile_column = 0;
    while ((tile_column + 1) * (tile_column + 2) / 2 <= block.x) ++tile_column;
    const u32 tile_row = block.x - tile_column * (tile_column + 1) / 2;  // at most tile_column
    const u32 row0 = tile_row * kGramTile, column0 = tile_column * kGramTile;
    float* const shared = reinterpret_cast<float*>(block.shared);
    float acc[Block::kThreadCopies][8][8], sum[Block::kThreadCopies];
    block.each_thread([&](u32, u32 i) {
        sum[i] = 0;
        TENPAK_UNROLL for (u32 r = 0; r < 8; ++r)
            TENPAK_UNROLL for (u32 c = 0; c < 8; ++c) acc[i][r][c] = 0;
    });
    const bool sums = a.sums != nullptr && tile_row == tile_column;
    gram_load(block, a, row0, column0, 0, shared);
    block.commit();
    u32 step = 0;
    TENPAK_ROLLED for (u32 first = 0; first < a.tokens; first += kGramTokens, ++step) {
        // Behind the end zeros are loaded.
        gram_load(block, a, row0, column0, first + kGramTokens, shared + (step + 1) % 2 * kGramStage);
        block.commit();
        block.template wait<1>();
        block.sync();
        const float* const rows = shared + step % 2 * kGramStage;
        const float* const columns = rows + kGramTokens * kGramTile;
        block.each_thread([&](u32 thread, u32 i) {
            const u32 r0 = thread / 16 * 4, c0 = thread % 16 * 4;
            TENPAK_UNROLL for (u32 t = 0; t < kGramTokens; ++t) {
                float v[8], w[8];
                TENPAK_UNROLL for (u32 half = 0; half < 2; ++half) {
                    const Word4 p = *reinterpret_cast<const Word4*>(rows + t * kGramTile + half * 64 + r0);
                    const Word4 q = *reinterpret_cast<const Word4*>(columns + t * kGramTile + half * 64 + c0);
                    TENPAK_UNROLL for (u32 e = 0; e < 4; ++e) {
                        v[half * 4 + e] = float_of_bits(p.w[e]);
                        w[half * 4 + e] = float_of_bits(q.w[e]);
                    }
                }
                TENPAK_UNROLL for (u32 r = 0; r < 8; ++r)
                    TENPAK_UNROLL for (u32 c = 0; c < 8; ++c) acc[i][r][c] += v[r] * w[c];
            }
            if (sums && thread < kGramTile) {
                TENPAK_UNROLL for (u32 t = 0; t < kGramTokens; ++t) {
                    const float v = rows[t * kGramTile + thread];
                    sum[i] += v < 0 ? -v : v;
                }
            }
        });
        block.sync();  // before the stage is loaded again
    }
    block.template wait<0>();
    block.each_thread([&](u32 thread, u32 i) {
        if (sums && thread < kGramTile && row0 + thread < a.k) a.sums[row0 + thread] += sum[i];
        TENPAK_UNROLL for (u32 r = 0; r < 8; ++r) {
            const u32 row = row0 + r / 4 * 64 + thread / 16 * 4 + r % 4;
            TENPAK_UNROLL for (u32 c = 0; c < 8; ++c) {
                const u32 column = column0 + c / 4 * 64 + thread % 16 * 4 + c % 4;
                if (row >= a.k || column >= a.k || (tile_row == tile_column && row > column)) continue;
                const float v = a.h[static_cast<std::size_t>(row) * a.k + column] + acc[i][r][c];
                a.h[static_cast<std::size_t>(row) * a.k + column] = v;
                a.h[static_cast<std::size_t>(column) * a.k + row] = v;
            }
        }
    });
}

}  // namespace tenpak::compute::gpu

// SPDX-License-Identifier: Apache-2.0
// y = W x of dense weights for one to four tokens; more go to the dense library.
#pragma once
#include "core/compute/cuda/linear.h"

namespace tenpak::compute::gpu {

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

}  // namespace tenpak::compute::gpu

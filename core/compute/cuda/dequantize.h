// SPDX-License-Identifier: Apache-2.0
// Quantized weights in a form that other kernels take: fp16 rows for the dense library, sparse ones as tiles of 8-bit codes for
// linear_gemm.h.
#pragma once
#include "core/compute/cuda/linear.h"

namespace tenpak::compute::gpu {

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

// SPDX-License-Identifier: Apache-2.0
// Where weights and activations lie in device memory, so that a lane of a tensor-core product loads 16 bytes at a time and
// needs no shuffles: tiles of 16 rows x 64 columns (weights) and of 8 tokens x 64 columns (activations). A step is the columns
// of one product: 16 for fp16 operands, 32 for int8. Columns may be permuted freely within a step as long as both operands
// agree: lane t holds columns 4 t .. 4 t + 3 of a 16-column step, 8 t .. 8 t + 7 of a 32-column one.
#pragma once
#include "core/compute/cuda/portable.h"

namespace tenpak::compute::gpu {

constexpr u32 kRowTile = 16, kColumnBlock = 64, kTokenTile = 8;
constexpr u32 kRowPadding = 32;    ///< rows are padded to this
constexpr u32 kWordsInt4 = 128;    ///< 32-bit words of a 16 x 64 tile
constexpr u32 kWordsInt8 = 256;
constexpr u32 kActivationWords = 256;  ///< fp16, of an 8 x 64 tile; int8 has half

/// What a weight's codes mean; equal to the ABI's TENPAK_CUDA_WEIGHT_* values.
enum Format : u32 { kFormatInt4 = 1, kFormatInt8Group = 2, kFormatInt8Channel = 3 };

struct CodePlace {
    u32 word;   ///< within the tile
    u32 shift;  ///< of the code in the word
};
/// 4 bit: word 4 * lane + step, eight codes a word. Register r of the A fragment is the codes r and r + 4, so that
/// one mask takes both halves.
TENPAK_HOST_DEVICE CodePlace int4_place(u32 row, u32 column) {
    const u32 step = column / 16, t = column % 16 / 4, c = column % 4, g = row % 8, high = row / 8;
    const u32 reg = c / 2 * 2 + high;
    return {(g * 4 + t) * 4 + step, 4 * (reg + 4 * (c % 2))};
}
/// 8 bit, for fp16 products: words 2 * step (row g) and 2 * step + 1 (row g + 8) of a lane, four columns each.
TENPAK_HOST_DEVICE CodePlace int8_group_place(u32 row, u32 column) {
    const u32 step = column / 16, t = column % 16 / 4, c = column % 4, g = row % 8, high = row / 8;
    return {((step / 2) * 32 + g * 4 + t) * 4 + step % 2 * 2 + high, 8 * c};
}
/// 8 bit, for int8 products: the four words of a step are the A fragment.
TENPAK_HOST_DEVICE CodePlace int8_channel_place(u32 row, u32 column) {
    const u32 step = column / 32, t = column % 32 / 8, j = column % 8 / 4, c = column % 4, g = row % 8, high = row / 8;
    return {(step * 32 + g * 4 + t) * 4 + j * 2 + high, 8 * c};
}
TENPAK_HOST_DEVICE u32 words_per_tile(u32 format) { return format == kFormatInt4 ? kWordsInt4 : kWordsInt8; }

/// fp16 activations of an 8 x 64 tile: the 16-bit place of (token, column).
TENPAK_HOST_DEVICE u32 fp16_place(u32 token, u32 column) {
    const u32 step = column / 16, t = column % 16 / 4, c = column % 4;
    return (((step / 2) * 32 + token * 4 + t) * 4 + step % 2 * 2 + c / 2) * 2 + c % 2;
}
/// int8 activations of an 8 x 64 tile: the byte of (token, column).
TENPAK_HOST_DEVICE u32 int8_place(u32 token, u32 column) {
    const u32 step = column / 32, t = column % 32 / 8, j = column % 8 / 4, c = column % 4;
    return ((token * 4 + t) * 4 + step * 2 + j) * 4 + c;
}
/// Scales and zeros: [row tile][group][8 pairs of rows g, g + 8].
TENPAK_HOST_DEVICE u32 scale_place(u32 row, u32 group, u32 groups) { return (row / kRowTile * groups + group) * 16 + row % 8 * 2 + row % 16 / 8; }

// ---- codes to fp16 -------------------------------------------------------------------------------------------------

constexpr u32 kHalf1024 = 0x64006400u;

/// The zero of a group, prepared for one row: 1024 + z and -(64 + z), both in both halves.
struct Int4Zero {
    u32 low, high;
};
TENPAK_HOST_DEVICE Int4Zero int4_zero(u32 zero) {
    const u32 a = 0x6400u + zero;                       // fp16 of 1024 + z: its last mantissa bit is 1
    const u32 b = 0xD400u + (zero << 4);                // fp16 of -(64 + z): its last mantissa bit is 1/16
    return {a | a << 16, b | b << 16};
}
/// Eight 4-bit codes minus their zero, exactly, as the A fragment of a step. `zero[0]` of row g, `zero[1]` of row g + 8.
TENPAK_HOST_DEVICE void int4_to_fp16(u32 word, const Int4Zero* zero, u32* a) {
    constexpr u32 kSixteenth = 0x2C002C00u;
    const u32 upper = word >> 8;
    a[0] = half2_sub(and_or(word, 0x000f000fu, kHalf1024), zero[0].low);
    a[1] = half2_fma(and_or(word, 0x00f000f0u, kHalf1024), kSixteenth, zero[1].high);  // (1024 + 16 q) / 16 - 64 - z
    a[2] = half2_sub(and_or(upper, 0x000f000fu, kHalf1024), zero[0].low);
    a[3] = half2_fma(and_or(upper, 0x00f000f0u, kHalf1024), kSixteenth, zero[1].high);
}
/// Codes of 8 bit lie with their sign bit turned over: 1024 + 128 + code is one byte in the mantissa.
TENPAK_HOST_DEVICE void int8_to_fp16(u32 row_g, u32 row_g8, u32* a) {
    constexpr u32 k1152 = 0x64806480u;
    a[0] = half2_sub(byte_select(row_g, 0x64646464u, 0x4140u), k1152);
    a[1] = half2_sub(byte_select(row_g8, 0x64646464u, 0x4140u), k1152);
    a[2] = half2_sub(byte_select(row_g, 0x64646464u, 0x4342u), k1152);
    a[3] = half2_sub(byte_select(row_g8, 0x64646464u, 0x4342u), k1152);
}

}  // namespace tenpak::compute::gpu

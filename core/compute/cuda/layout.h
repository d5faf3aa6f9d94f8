// SPDX-License-Identifier: Apache-2.0
// Where weights and activations lie in device memory, so that a lane of a tensor-core product loads 16 bytes at a time and
// needs no shuffles: tiles of 16 rows x 64 columns (weights) and of 8 tokens x 64 columns (activations). A step is the columns
// of one product: 16 for fp16 operands, 32 for int8. Columns may be permuted freely within a step as long as both operands
// agree: lane t holds columns 4 t .. 4 t + 3 of a 16-column step, 8 t .. 8 t + 7 of a 32-column one.
// Formats of more than 4 bits that are no 8-bit code begin with the tile of 4-bit codes (int4_place); behind it lies
//   residual  2 bits a weight, two words a lane
//   sparse    a bit a weight (kept or not), then for each row how many weights of it are kept in the blocks before. Their low
//             4 bits lie in an array of their own, [row][2 words a block], in the order of sparse_bit.
#pragma once
#include "core/compute/cuda/portable.h"

namespace tenpak::compute::gpu {

constexpr u32 kRowTile = 16, kColumnBlock = 64, kTokenTile = 8;
constexpr u32 kRowPadding = 32;    ///< rows are padded to this
constexpr u32 kWordsInt4 = 128;    ///< 32-bit words of a 16 x 64 tile
constexpr u32 kWordsInt8 = 256;
constexpr u32 kResidualAt = kWordsInt4, kWordsResidual = kResidualAt + 64;
constexpr u32 kMasksAt = kWordsInt4, kStartsAt = kMasksAt + 32, kWordsSparse = kStartsAt + 8;
constexpr u32 kActivationWords = 256;  ///< fp16, of an 8 x 64 tile; int8 has half

/// What a weight's codes mean; equal to the ABI's TENPAK_CUDA_WEIGHT_* values.
enum Format : u32 { kFormatInt4 = 1, kFormatInt8Group = 2, kFormatInt8Channel = 3, kFormatNf4 = 7, kFormatInt4Residual = 8, kFormatInt4Sparse = 9, kFormatFp8Channel = 10 };
/// One scale a row: sums need no scale of their own.
TENPAK_HOST_DEVICE constexpr bool has_row_scale(u32 format) { return format == kFormatInt8Channel || format == kFormatFp8Channel; }
/// A byte a group beside its scale: the zero, of sparse weights the multiple.
TENPAK_HOST_DEVICE constexpr bool has_zeros(u32 format) { return format == kFormatInt4 || format == kFormatInt4Residual || format == kFormatInt4Sparse; }
/// The zero of symmetric weights, which is not stored; a pair.
TENPAK_HOST_DEVICE constexpr u32 usual_zeros(u32 format) { return format == kFormatInt4Residual ? 0x2020u : 0x0808u; }
TENPAK_HOST_DEVICE constexpr u32 words_per_tile(u32 format) {
    return format == kFormatInt4 || format == kFormatNf4 ? kWordsInt4 : format == kFormatInt4Residual ? kWordsResidual : format == kFormatInt4Sparse ? kWordsSparse : kWordsInt8;
}

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
/// The 2 bits of a residual: one mask takes both halves of a register here, too.
TENPAK_HOST_DEVICE CodePlace residual_place(u32 row, u32 column) {
    const u32 step = column / 16, t = column % 16 / 4, c = column % 4, reg = c / 2 * 2 + row / 8;
    return {kResidualAt + (row % 8 * 4 + t) * 2 + step / 2, 2 * reg + 8 * (step % 2) + 16 * (c % 2)};
}
/// The bit of a column among the 64 of its row: those of a lane are neighbours.
TENPAK_HOST_DEVICE u32 sparse_bit(u32 column) { return column % 16 / 4 * 16 + column / 16 * 4 + column % 4; }
TENPAK_HOST_DEVICE CodePlace mask_place(u32 row, u32 column) { return {kMasksAt + row % 8 * 4 + row / 8 * 2 + sparse_bit(column) / 32, sparse_bit(column) % 32}; }
TENPAK_HOST_DEVICE CodePlace start_place(u32 row) { return {kStartsAt + row % 8, row / 8 * 16}; }
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
/// Which activations of a token are multiplied in fp32 (LLM.int8): first a bit a word of the second part that is not 0, then a bit a column.
struct OutlierWords {
    u32 summary, columns;
    TENPAK_HOST_DEVICE u32 all() const { return summary + columns; }
};
TENPAK_HOST_DEVICE OutlierWords outlier_words(u32 k) { return {((k + 31) / 32 + 31) / 32, (k + 31) / 32}; }
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
/// The fp16 values of four NF4 codes (the low nibbles of `codes`), as their low and their high bytes. Tables of bytes in registers: the values
/// of core/base/nf4.h (kNf4Levels) rounded to fp16.
TENPAK_HOST_DEVICE void nf4_bytes(u32 codes, u32& low, u32& high) {
    const u32 upper = byte_select(0x0000ff00u, 0u, codes >> 3 & 0x1111u);  // ff where the code is 8 or more
    low = (byte_select(0x52339200u, 0x00d4ea8du, codes & 0x7777u) & ~upper) | (byte_select(0x68e02618u, 0x00c9800du, codes & 0x7777u) & upper);
    high = (byte_select(0xb6b8b9bcu, 0x00adb1b4u, codes & 0x7777u) & ~upper) | (byte_select(0x3533312du, 0x3c393837u, codes & 0x7777u) & upper);
}
TENPAK_HOST_DEVICE u16 nf4_half(u32 code) {
    u32 low, high;
    nf4_bytes(code, low, high);
    return static_cast<u16>((low & 0xffu) | (high & 0xffu) << 8);
}
TENPAK_HOST_DEVICE void nf4_to_fp16(u32 word, u32* a) {
    u32 low, high, low4, high4;
    nf4_bytes(word, low, high);           // the low halves of a[0 .. 3]
    nf4_bytes(word >> 16, low4, high4);  // the high halves
    const u32 first = byte_select(low, high, 0x5140u), second = byte_select(low, high, 0x7362u);
    const u32 first4 = byte_select(low4, high4, 0x5140u), second4 = byte_select(low4, high4, 0x7362u);
    a[0] = byte_select(first, first4, 0x5410u);
    a[1] = byte_select(first, first4, 0x7632u);
    a[2] = byte_select(second, second4, 0x5410u);
    a[3] = byte_select(second, second4, 0x7632u);
}
TENPAK_HOST_DEVICE Int4Zero residual_zero(u32 zero) { return {(0x6400u + zero) * 0x10001u, 0}; }
/// Eight 6-bit codes minus their zero. `low`: the 2-bit parts, those of the step in the low byte of each half.
TENPAK_HOST_DEVICE void residual_to_fp16(u32 word, u32 low, const Int4Zero* zero, u32* a) {
    constexpr u32 kCode = 0x003c003cu, kLow = 0x00030003u;
    a[0] = half2_sub(and_or(low, kLow, and_or(word << 2, kCode, kHalf1024)), zero[0].low);
    a[1] = half2_sub(and_or(low >> 2, kLow, and_or(word >> 2, kCode, kHalf1024)), zero[1].low);
    a[2] = half2_sub(and_or(low >> 4, kLow, and_or(word >> 6, kCode, kHalf1024)), zero[0].low);
    a[3] = half2_sub(and_or(low >> 6, kLow, and_or(word >> 10, kCode, kHalf1024)), zero[1].low);
}
TENPAK_HOST_DEVICE Int4Zero sparse_multiple(u32 multiple) { return {half2_sub((0x6400u + multiple) * 0x10001u, kHalf1024), 0}; }
/// Eight weights of which some are kept in 8 bits. `kept`: f in their nibbles, `low`: their low 4 bits. Integers to 127: exact.
TENPAK_HOST_DEVICE void sparse_to_fp16(u32 word, u32 kept, u32 low, const Int4Zero* multiple, u32* a) {
    constexpr u32 kEights = 0x88888888u, k16 = 0x4C004C00u;
    const Int4Zero eight[2] = {int4_zero(8), int4_zero(8)}, none[2] = {int4_zero(0), int4_zero(0)};
    u32 coarse[4], fine[4], rest[4];
    int4_to_fp16((word & ~kept) | (kEights & kept), eight, coarse);  // 0 where kept
    int4_to_fp16((word & kept) ^ kEights, eight, fine);              // the signed high nibble, 0 where not kept
    int4_to_fp16(low, none, rest);
    TENPAK_UNROLL for (u32 r = 0; r < 4; ++r) a[r] = half2_fma(coarse[r], multiple[r % 2].low, half2_fma(fine[r], k16, rest[r]));
}
/// What sparse_to_fp16 wants for the four steps of lane t. `masks`: the two words of row g, then of row g + 8; `low`: the low bits of
/// these rows. Reads up to two words behind the kept weights of a row.
TENPAK_HOST_DEVICE void sparse_lane(const u32* masks, u32 starts, u32 t, const u32* const* low, u32* kept, u32* rest) {
    TENPAK_UNROLL for (u32 s = 0; s < 4; ++s) kept[s] = rest[s] = 0;
    TENPAK_UNROLL for (u32 high = 0; high < 2; ++high) {
        const u32 first = masks[2 * high], second = masks[2 * high + 1];
        const u32 own = (t < 2 ? first : second) >> (t % 2 * 16) & 0xffffu;
        const u32 before = (starts >> (16 * high) & 0xffffu) + (t == 0 ? 0u : ones_of(t == 1 ? first & 0xffffu : first)) + (t == 3 ? ones_of(second & 0xffffu) : 0u);
        const u32* const words = low[high] + before / 8;
        const u32 shift = before % 8 * 4;
        std::uint64_t window = (words[0] | static_cast<std::uint64_t>(words[1]) << 32) >> shift;
        if (shift != 0) window |= static_cast<std::uint64_t>(words[2]) << (64 - shift);
        TENPAK_UNROLL for (u32 s = 0; s < 4; ++s) {
            const u32 mask = own >> (4 * s) & 15u;
            u32 nibbles = static_cast<u32>(window);
            TENPAK_UNROLL for (u32 c = 0; c < 4; ++c) {
                const u32 keep = 0u - (mask >> c & 1u), place = 4 * (c / 2 * 2 + high + 4 * (c % 2));
                kept[s] |= (keep & 15u) << place;
                rest[s] |= (nibbles & keep & 15u) << place;
                nibbles >>= keep & 4u;
            }
            window >>= 4 * ones_of(mask);
        }
    }
}
/// Codes of e4m3, four columns a word, as fp16 of a 256th of their value: exponents of another bias, exact, subnormal ones too.
TENPAK_HOST_DEVICE u32 e4m3_pair(u32 bytes) { return (bytes & 0x80008000u) | (bytes & 0x7f007f00u) >> 1; }
TENPAK_HOST_DEVICE void e4m3_to_fp16(u32 row_g, u32 row_g8, u32* a) {
    a[0] = e4m3_pair(byte_select(row_g, 0u, 0x1404u));
    a[1] = e4m3_pair(byte_select(row_g8, 0u, 0x1404u));
    a[2] = e4m3_pair(byte_select(row_g, 0u, 0x3424u));
    a[3] = e4m3_pair(byte_select(row_g8, 0u, 0x3424u));
}
/// The nearest value of e4m3, ties to even; `v` is at most 448 but for rounding.
TENPAK_HOST_DEVICE float round_to_e4m3(float v) {
    const u32 u = bits_of_float(v), sign = u & 0x80000000u, a = u & 0x7fffffffu;
    if (a >= 0x43e00000u) return float_of_bits(sign | 0x43e00000u);  // 448
    if (a < 0x3c800000u) {                                           // below 2^-6 steps of 2^-9, the last bit of 2^14
        const u32 steps = bits_of_float(float_of_bits(a) + 16384.0f) - 0x46800000u;
        return float_of_bits(sign | bits_of_float(static_cast<float>(steps) * 0.001953125f));
    }
    return float_of_bits(sign | ((a + 0x7ffffu + (a >> 20 & 1u)) & 0xfff00000u));
}

// ---- one weight ----------------------------------------------------------------------------------------------------

/// A sparse weight as its 8-bit code. `low`: the low bits of its row.
TENPAK_HOST_DEVICE int sparse_code(const u32* tile, const u32* low, u32 row, u32 column, int multiple) {
    const CodePlace c = int4_place(row, column), m = mask_place(row, column), s = start_place(row);
    const int code = static_cast<int>(tile[c.word] >> c.shift & 15u);
    const u32 mask = tile[m.word];
    if ((mask >> m.shift & 1u) == 0) return (code - 8) * multiple;
    u32 before = (tile[s.word] >> s.shift & 0xffffu) + ones_of(mask & ((1u << m.shift) - 1u));
    if (sparse_bit(column) >= 32) before += ones_of(tile[m.word - 1]);
    return 16 * (code < 8 ? code : code - 16) + static_cast<int>(low[before / 8] >> (before % 8 * 4) & 15u);
}
/// A weight without its scale, an fp16 number. `zero`: of its group.
TENPAK_HOST_DEVICE float code_value(u32 format, const u32* tile, const u32* low, u32 row, u32 column, u32 zero) {
    if (format == kFormatInt8Group || format == kFormatFp8Channel) {
        const CodePlace c = int8_group_place(row, column);
        const u32 byte = tile[c.word] >> c.shift & 255u;
        return format == kFormatInt8Group ? static_cast<float>(static_cast<int>(byte) - 128) : low_half(e4m3_pair(byte << 8));
    }
    if (format == kFormatInt4Sparse) return static_cast<float>(sparse_code(tile, low, row, column, static_cast<int>(zero)));
    const CodePlace c = int4_place(row, column);
    const u32 code = tile[c.word] >> c.shift & 15u;
    if (format == kFormatNf4) return fp16_value(nf4_half(code));
    if (format == kFormatInt4) return static_cast<float>(static_cast<int>(code) - static_cast<int>(zero));
    const CodePlace r = residual_place(row, column);
    return static_cast<float>(static_cast<int>(4 * code + (tile[r.word] >> r.shift & 3u)) - static_cast<int>(zero));
}

}  // namespace tenpak::compute::gpu

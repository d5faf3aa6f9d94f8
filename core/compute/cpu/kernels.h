// SPDX-License-Identifier: Apache-2.0
// The table of kernels of one instruction-set level. Each level is a .cpp of its own, compiled with its own -m flags
// from kernels.inc; the backend picks a table at run time (cpu_features). All functions are pure and thread-safe.
#pragma once
#include <cstddef>
#include <cstdint>

#include "core/base/nf4.h"
#include "core/compute/cpu/elementwise.h"
#include "core/compute/cpu/panels.h"

namespace tenpak::compute::cpu {

/// Activations quantized to int8, one scale a token: x = scale * code, rounded half to even, code in -127..127.
struct Int8Rows {
    const std::int8_t* codes = nullptr;  ///< [tokens][stride], zero behind the last column
    const float* scales = nullptr;       ///< [tokens]
    std::size_t stride = 0;
};

/// LLM.int8: the activations that Int8Rows and IntegerBlocks have zeros for.
struct Outliers {
    const std::size_t* begin = nullptr;      ///< [tokens + 1]: where a token's begin in the following
    const std::uint32_t* columns = nullptr;
    const float* values = nullptr;
};

/// Tokens a block of packed activations holds; the last block of a batch holds what is left.
inline constexpr std::uint32_t kTokenBlock = 12;

/// Activations as integers, one scale a token and group of the weight (a token where the weight has no groups).
/// Block b holds `count` tokens and starts at kTokenBlock * b times what one token takes.
///   parts 1: x = scale * code, code int8: "8-bit activations"; the rounding error is at most 1/254 of the group's largest value
///   parts 2: x = scale * (256 hi + lo), "16-bit activations"; at most 1/65000 of it. bf16's is 1/512 of each value
struct IntegerBlocks {
    const std::int8_t* codes = nullptr;    ///< [padded / 4][count][parts][4], zero in the gaps
    const float* scales = nullptr;         ///< [groups][count]
    const std::int32_t* offsets = nullptr; ///< [groups][parts][count]: what the weight's zero point adds (pack_integers)
    std::uint32_t tokens = 0;
};
/// Longest group whose int32 sums cannot overflow: 2 * 255 * 128 * columns < 2^31.
inline constexpr std::uint32_t kMaxIntegerGroup = 32768;

/// Activations rounded to bf16: block b holds [padded / 2][count][2] and starts at kTokenBlock * b * padded.
struct Bf16Blocks {
    const std::uint16_t* values = nullptr;
    std::uint32_t tokens = 0;
};

/// A rectangle of a product: panels [first, last), blocks of tokens [block, block_end).
struct Tile {
    std::size_t first, last;
    std::uint32_t block, block_end;
};

struct AttentionWork {
    const float* q = nullptr;  ///< [tokens][heads][head_dim]
    std::uint32_t tokens = 0, first = 0;
    AttentionShape shape;
    const float* keys = nullptr;    ///< [position][kv_head][head_dim]
    const float* values = nullptr;
    float* out = nullptr;           ///< [tokens][heads][head_dim]
};

/// For `integer` and `fp8`, where they unpack two panels before they multiply; on a cache line.
inline std::size_t product_scratch(const Panels& w) {
    switch (w.format) {
        case WeightFormat::kInt4Sparse: return std::size_t{w.padded} * kLanes * 2;
        case WeightFormat::kFp8Channel: return std::size_t{w.padded} * kLanes * 4;
        default: return 0;
    }
}

struct Kernels {
    const char* name;          ///< "AVX-512 VNNI", of the integer kernels
    const char* float_name;    ///< "AVX-512", of those that multiply in fp32
    std::uint32_t block_tokens;  ///< tokens that `large` takes at a time
    /// y[t][row] for the rows of panels [first, last), reading packed codes directly: for few tokens. x[tokens][w.padded].
    void (*small)(const Panels& w, std::size_t first, std::size_t last, const float* x, std::uint32_t tokens, float* y, std::size_t ldy);
    /// The same for many tokens: unpacks two panels at a time into `scratch` (w.padded * 32 floats). x is interleaved
    /// by blocks of tokens, [ceil(tokens / block_tokens)][w.padded][block_tokens]: rows that lie a power of two apart
    /// would fight for the same lines of the first-level cache.
    void (*large)(const Panels& w, std::size_t first, std::size_t last, const float* x, std::uint32_t tokens, float* y, std::size_t ldy,
                  float* scratch);
    /// int8 per channel with int8 activations; int32 sums, exact, the same on every level.
    void (*int8)(const Panels& w, std::size_t first, std::size_t last, const Int8Rows& x, std::uint32_t tokens, float* y, std::size_t ldy);
    /// Adds outliers times their columns to what `int8` or `integer` made of the other activations; tokens [begin, end).
    void (*outliers)(const Panels& w, std::size_t first, std::size_t last, const Outliers& x, std::uint32_t begin, std::uint32_t end, float* y, std::size_t ldy);
    /// A token's activations rounded to e4m3, to nearest even; returns their scale, the largest magnitude / 448. y: the e4m3
    /// values, times the scale unless `whole`.
    float (*to_e4m3)(const float* x, std::size_t n, bool whole, float* y);
    /// Formats with codes (int8 and grouped ones; nf4 with parts 1) by integer products, any number of tokens; null where the level has none.
    /// `scratch`: product_scratch() bytes.
    void (*integer)(const Panels& w, const Tile& tile, const IntegerBlocks& x, unsigned parts, float* y, std::size_t ldy, void* scratch);
    /// Packs one block of `count` tokens x[count][columns] for `integer`; the pointers are those of the block.
    void (*pack_integers)(const Panels& w, const float* x, std::uint32_t count, unsigned parts, std::int8_t* codes, float* scales, std::int32_t* offsets);
    /// bf16 weights times bf16 activations, sums in fp32; null where the level has none.
    void (*bf16)(const Panels& w, const Tile& tile, const Bf16Blocks& x, float* y, std::size_t ldy);
    /// fp8 weights times bf16 activations that are whole e4m3 values times `token_scales`; null where the level has none.
    void (*fp8)(const Panels& w, const Tile& tile, const Bf16Blocks& x, const float* token_scales, float* y, std::size_t ldy, void* scratch);
    void (*pack_bf16)(const Panels& w, const float* x, std::uint32_t count, std::uint16_t* values);
    Elementwise elementwise;
    /// Queries [begin, end) of all heads that share key head `kv_head`. `scratch`: attention_scratch() floats.
    void (*attention)(const AttentionWork& work, std::uint32_t kv_head, std::uint32_t begin, std::uint32_t end, float* scratch);
};

/// Queries that one attention task takes.
inline constexpr std::uint32_t kQueryBlock = 16;
inline constexpr std::uint32_t kKeyBlock = 64;
std::size_t attention_scratch(const AttentionShape& shape, std::uint32_t positions);

const Kernels& kernels_scalar();
#if defined(__x86_64__)
const Kernels& kernels_avx2();
const Kernels& kernels_avx512();
const Kernels& kernels_vnni();
const Kernels& kernels_bf16();  // VNNI and BF16
// The integer products of kernels_vnni.
void vnni_int4(const Panels& w, const Tile& tile, const IntegerBlocks& x, unsigned parts, float* y, std::size_t ldy);
void vnni_int8(const Panels& w, const Tile& tile, const IntegerBlocks& x, unsigned parts, float* y, std::size_t ldy);
void vnni_residual(const Panels& w, const Tile& tile, const IntegerBlocks& x, unsigned parts, float* y, std::size_t ldy);
void vnni_sparse(const Panels& w, const Tile& tile, const IntegerBlocks& x, unsigned parts, float* y, std::size_t ldy, void* scratch);
void vnni_nf4(const Panels& w, const Tile& tile, const IntegerBlocks& x, float* y, std::size_t ldy);
void fp8_product(const Panels& w, const Tile& tile, const Bf16Blocks& x, const float* token_scales, float* y, std::size_t ldy, void* scratch);  // BF16
#endif

}  // namespace tenpak::compute::cpu

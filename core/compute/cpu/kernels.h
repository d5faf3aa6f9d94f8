// SPDX-License-Identifier: Apache-2.0
// The table of kernels of one instruction-set level. Each level is a .cpp of its own, compiled with its own -m flags
// from kernels.inc; the backend picks a table at run time (cpu_features). All functions are pure and thread-safe.
#pragma once
#include <cstddef>
#include <cstdint>

#include "core/compute/cpu/elementwise.h"
#include "core/compute/cpu/panels.h"

namespace tenpak::compute::cpu {

/// Activations quantized to int8, one scale a token: x = scale * code, rounded half to even, code in -127..127.
struct Int8Rows {
    const std::int8_t* codes = nullptr;  ///< [tokens][stride], zero behind the last column
    const float* scales = nullptr;       ///< [tokens]
    std::size_t stride = 0;
};

/// Activations as 16-bit integers, one scale a token and group: x = scale * (256 hi + lo). The rounding error is at most
/// 1/65000 of the group's largest value; bf16's is 1/512 of each value.
struct Int16Rows {
    const std::int8_t* hi = nullptr;  ///< [tokens][stride], zero in the gaps
    const std::int8_t* lo = nullptr;
    const float* scales = nullptr;    ///< [tokens][groups]
    const float* sums = nullptr;      ///< [tokens][groups]: of 256 hi + lo
    std::size_t stride = 0, groups = 0;
};
inline constexpr float kInt16Top = 127 * 256.0f;
/// Longest group whose int32 sums cannot overflow: 255 * 128 * columns < 2^31.
inline constexpr std::uint32_t kMaxInt16Group = 65536;

struct AttentionWork {
    const float* q = nullptr;  ///< [tokens][heads][head_dim]
    std::uint32_t tokens = 0, first = 0;
    AttentionShape shape;
    const float* keys = nullptr;    ///< [position][kv_head][head_dim]
    const float* values = nullptr;
    float* out = nullptr;           ///< [tokens][heads][head_dim]
};

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
    /// Grouped formats with Int16Rows (null where the level has none), for any number of tokens.
    void (*grouped)(const Panels& w, std::size_t first, std::size_t last, const Int16Rows& x, std::uint32_t tokens, float* y, std::size_t ldy);
    /// One token's row for `grouped`: x[groups][group] -> hi, lo [groups][stride].
    void (*quantize16)(const float* x, std::size_t groups, std::size_t group, std::size_t stride, std::int8_t* hi, std::int8_t* lo, float* scales, float* sums);
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
#endif

}  // namespace tenpak::compute::cpu

// SPDX-License-Identifier: Apache-2.0
// The number formats of ggml, of which GGUF files are made: sizes of their blocks, and what their bits stand for
// (ggml/src/ggml-common.h, ggml-quants.c and gguf-py/gguf/quants.py of llama.cpp; numbers as in enum ggml_type).
#pragma once
#include <cstddef>
#include <cstdint>

namespace tenpak {

enum class GgmlType : std::uint32_t {
    kF32 = 0, kF16 = 1, kQ4_0 = 2, kQ4_1 = 3, kQ5_0 = 6, kQ5_1 = 7, kQ8_0 = 8, kQ8_1 = 9, kQ2_K = 10, kQ3_K = 11, kQ4_K = 12,
    kQ5_K = 13, kQ6_K = 14, kQ8_K = 15, kIq2Xxs = 16, kIq2Xs = 17, kIq3Xxs = 18, kIq1S = 19, kIq4Nl = 20, kIq3S = 21, kIq2S = 22,
    kIq4Xs = 23, kI8 = 24, kI16 = 25, kI32 = 26, kI64 = 27, kF64 = 28, kIq1M = 29, kBF16 = 30, kTq1_0 = 34, kTq2_0 = 35, kMxfp4 = 39,
};

struct GgmlTypeInfo {
    const char* name = "";
    std::uint32_t weights = 1;  ///< of a block
    std::uint32_t bytes = 0;    ///< of a block
    bool readable = false;      ///< dequantize_blocks() knows it
};
/// Null for a type that is not known.
const GgmlTypeInfo* ggml_type_info(std::uint32_t type);
inline const GgmlTypeInfo& ggml_type_info(GgmlType type) { return *ggml_type_info(static_cast<std::uint32_t>(type)); }

/// out[blocks * weights] = what `in` stands for, in the fp32 arithmetic of the reference (gguf-py): same bits. `type` must be
/// readable.
void dequantize_blocks(GgmlType type, const std::byte* in, std::size_t blocks, float* out);

/// Q6_K taken apart: w = code * scale, a scale every 16 weights. codes[blocks * 256], scales[blocks * 16].
void unpack_q6_k(const std::byte* in, std::size_t blocks, std::int8_t* codes, float* scales);

}  // namespace tenpak

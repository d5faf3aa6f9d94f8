// SPDX-License-Identifier: Apache-2.0
// The weight of one linear layer y = W x, W [n = out, k = in], in the formats that candidates use. This is the neutral
// form: quantizers produce it, exporters write it, backends repack it for their kernels (Backend::make_linear).
#pragma once
#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "core/base/error.h"

namespace tenpak::compute {

enum class WeightFormat : std::uint8_t {
    kF32,          ///< dense fp32 (reference)
    kBF16,         ///< dense bf16
    kF16,          ///< dense fp16
    kInt8Channel,  ///< int8 codes, one scale a row; the kernel quantizes activations per token to int8 (W8A8)
    kInt8Group,    ///< int8 codes, a scale per `group` weights of a row (weight-only)
    kInt4Group,    ///< 4-bit codes 0..15, scale and zero per group (weight-only)
    kInt4Residual, ///< a plane of 4-bit codes and one of 2-bit residuals, scale and zero per group (weight-only)
    kInt4Sparse,   ///< 4-bit codes; the most salient quarter of each group keeps 8 bits (weight-only)
    kNf4Group,     ///< 4-bit NormalFloat codes, a largest magnitude per group (weight-only)
    kFp8Channel,   ///< e4m3 codes, one scale a row; the kernel rounds activations per token to e4m3 (W8A8)
};
const char* weight_format_name(WeightFormat f);

struct LinearWeight {
    WeightFormat format = WeightFormat::kF32;
    std::uint32_t n = 0, k = 0;
    std::uint32_t group = 0;  ///< divides k; 0 for per-row or dense
    bool symmetric = true;    ///< zeros are all in the middle (8; kInt4Residual: 32) and left out on export
    /// kInt8Channel: activations of this magnitude and more are multiplied exactly instead of in int8 (LLM.int8, Dettmers
    /// et al., arXiv 2208.07339); 0: none are.
    float outlier_threshold = 0;

    std::vector<float> f32;           ///< kF32: [n][k]
    std::vector<std::uint16_t> half;  ///< kBF16, kF16: [n][k]
    std::vector<std::uint8_t> codes;  ///< int8: [n][k] two's complement; kFp8Channel: [n][k]; others: [n][k/2], even k in the low nibble
    std::vector<float> scales;        ///< [n][k/group] or [n]. Exact in bf16, in imported weights or fp16 models in fp16;
                                      ///< kNf4Group, kFp8Channel and LLM.int8: fp32
    std::vector<std::uint8_t> zeros;  ///< kInt4Group: [n][k/group], 0..15: w = (code - zero) * scale
                                      ///< kInt4Residual: 0..63: w = (4 * code + low - zero) * scale
    /// kInt4Residual: [n][k/4], 2 bits a weight, the first column in the lowest. kInt4Sparse: [n][k/8], the low 4 bits of
    /// each kept weight in column order, the first in the low nibble; a group begins on a byte.
    std::vector<std::uint8_t> low;
    /// kInt4Sparse, a bit a weight [n][k/8], column 0 in the lowest: exactly group / 4 of a group are kept, w = c * scale with
    /// the 8-bit two's complement c = code << 4 | low. The others are w = (code - 8) * multiple * scale.
    std::vector<std::uint8_t> mask;
    std::vector<std::uint8_t> multiples;  ///< kInt4Sparse: [n][k/group], 1..15
    /// Grouped formats: the group of each column, [k], where groups are not neighbours (GPTQ's act-order); else empty.
    /// Every group has exactly `group` columns.
    std::vector<std::uint32_t> group_index;
    /// kNf4Group with double quantization: scales[i] = dynamic_map(scale_codes[i]) * nested_scales[i / 256] + nested_offset,
    /// i counting row by row (optimizer.md 4.6). Empty: scales are stored in fp32.
    std::vector<std::uint8_t> scale_codes;
    std::vector<float> nested_scales;
    float nested_offset = 0;
    std::vector<float> bias;          ///< [n] or empty

    /// Bytes that a serving engine would keep for it: packed codes, scales (16 bit; fp32 where said above), packed zeros where
    /// asymmetric, the group index.
    std::uint64_t stored_bytes() const;
    /// [n][k] as fp32: exactly what the codes stand for.
    std::vector<float> dequantize() const;
    /// Sizes of all vectors agree with n, k, group; scales are finite.
    Status validate(const std::string& where) const;
};

/// What a candidate changes in a model: linear weights by tensor name ("model.layers.0.mlp.up_proj.weight") and other
/// vectors (norm weights into which AWQ folded its scales).
struct WeightOverrides {
    std::map<std::string, LinearWeight> linears;
    std::map<std::string, std::vector<float>> vectors;
};

}  // namespace tenpak::compute

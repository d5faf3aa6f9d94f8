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
};
const char* weight_format_name(WeightFormat f);

struct LinearWeight {
    WeightFormat format = WeightFormat::kF32;
    std::uint32_t n = 0, k = 0;
    std::uint32_t group = 0;  ///< divides k; 0 for per-row or dense
    bool symmetric = true;    ///< zeros are all 8 (4 bit) and left out on export

    std::vector<float> f32;           ///< kF32: [n][k]
    std::vector<std::uint16_t> half;  ///< kBF16, kF16: [n][k]
    std::vector<std::uint8_t> codes;  ///< int8: [n][k] two's complement; int4: [n][k/2], even k in the low nibble
    std::vector<float> scales;        ///< [n][k/group] or [n]; each exactly representable in bf16 (fp16 where stated)
    std::vector<std::uint8_t> zeros;  ///< kInt4Group: [n][k/group], codes 0..15. w = (code - zero) * scale
    std::vector<float> bias;          ///< [n] or empty

    /// Bytes that a serving engine would keep for it: packed codes, 16-bit scales, packed zeros where asymmetric.
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

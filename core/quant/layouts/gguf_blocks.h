// SPDX-License-Identifier: Apache-2.0
// Packed weights as llama.cpp's blocks of 32: which type holds a weight, and its bytes.
#pragma once
#include <optional>
#include <span>

#include "core/compute/linear_weight.h"
#include "core/tensor/ggml_types.h"

namespace tenpak::quant {

/// Q8_0 for whole-number weights of up to 8 bits (int8, INT4+INT2, INT4+sparse), Q4_0 and Q4_1 for INT4 groups. Nothing where
/// the groups are not multiples of 32 or the format is another. F16 and BF16 for dense ones.
std::optional<GgmlType> ggml_type_for(const compute::LinearWeight& weight);

/// How far rounding scales and minima to fp16 moves weights; all 0 where nothing is lost.
struct BlockLoss {
    std::size_t weights = 0;  ///< that change
    float largest = 0;        ///< change of one, in units of its own group's scale
};
/// A row in the type that ggml_type_for() gives: appends it to `out`.
void append_row(const compute::LinearWeight& weight, GgmlType type, std::uint32_t row, std::vector<std::byte>& out, BlockLoss& loss);
BlockLoss block_loss(const compute::LinearWeight& weight, GgmlType type);

}  // namespace tenpak::quant

// SPDX-License-Identifier: Apache-2.0
// quantization_config of a compressed-tensors directory (optimizer.md 4.3 to 4.5).
#pragma once
#include <map>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "core/base/json.h"
#include "core/quant/quantize.h"

namespace tenpak::quant {

/// How compressed-tensors stores one linear.
struct CompressedScheme {
    unsigned bits = 4;
    bool floating = false;     ///< FP8
    bool activations = false;  ///< rounded per token to the weight's type
    bool symmetric = true;
    std::uint32_t group = 0;   ///< columns; 0: one scale a row ("channel")
    bool group_index = false;  ///< actorder "group"
    auto operator<=>(const CompressedScheme&) const = default;
    /// "pack-quantized", "int-quantized" or "float-quantized".
    const char* format() const { return floating ? "float-quantized" : activations ? "int-quantized" : "pack-quantized"; }
};
/// What a weight is written as: its own scheme, but for groups of 256 (as 128), widths that no group divides (as channel), and
/// formats that only INT8 groups hold.
/// `zeros_group`: shared_zeros_group().
CompressedScheme compressed_scheme(const compute::LinearWeight& w, std::uint32_t zeros_group = 0);

/// Weights with zero points and groups of several sizes are written with one size, each larger group as whole ones with the same
/// scale: transformers 5 dequantizes them at load by one scheme for all modules. 0: their sizes are the same, or none fits all.
/// `groups`: (columns of a group, columns of a row) of the 4-bit weights with zero points.
std::uint32_t shared_zeros_group(std::span<const std::pair<std::uint32_t, std::uint32_t>> groups);

/// One config group a scheme. A single one targets "Linear"; several are matched by module name, never by class: vLLM tries the
/// class of a fused module before the names of its parts.
Json compressed_tensors_config(const std::map<std::string, CompressedScheme>& modules, const std::vector<std::string>& ignore);

}  // namespace tenpak::quant

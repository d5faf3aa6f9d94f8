// SPDX-License-Identifier: Apache-2.0
// What the importers share: tensors found by module, with every type, rank and size checked before use. Files are hostile.
#pragma once
#include <functional>
#include <string>
#include <vector>

#include "core/quant/layouts/layout_functions.h"

namespace tenpak::quant {

Error malformed_weights(const std::string& what, const std::string& where);
Error unsupported_scheme(const std::string& what, const std::string& where);

/// A tensor of this type and rank. kMalformed when it is absent or another.
Result<const TensorInfo*> require_tensor(const ModelSource& source, const std::string& name, DType dtype, std::size_t rank);
/// n x k as a weight's sizes: not zero, below 2^31.
Status check_sizes(std::uint64_t n, std::uint64_t k, const std::string& where);
Result<std::vector<std::uint32_t>> read_words(const ModelSource& source, const TensorInfo& t);
Result<std::vector<std::uint8_t>> read_octets(const ModelSource& source, const TensorInfo& t);
/// Scales [rows][columns] of bf16, fp16 or fp32.
Result<std::vector<float>> read_scales(const ModelSource& source, const std::string& name, std::uint64_t rows, std::uint64_t columns);
/// One scale a row from [n], [n, 1], or one for all from [1] or [].
Result<std::vector<float>> read_row_scales(const ModelSource& source, const std::string& name, std::uint32_t n);
/// The group of each column, [k] of int32, where there is such a tensor; groups that are neighbours in order need none. w.k and
/// w.group are known.
Status read_group_index(const ModelSource& source, const std::string& name, compute::LinearWeight& w);
/// [rows][columns] -> [columns][rows].
std::vector<float> transposed_floats(const std::vector<float>& v, std::size_t rows, std::size_t columns);

/// Reads the weight of `module`; a weight without columns: this module is not of the format, left out.
using ReadModule = std::function<Result<compute::LinearWeight>(const std::string& module)>;
/// All modules that have a tensor with this ending (".qweight"), each with its bias, validated. kMalformed when there is none.
Overrides import_modules(const ModelSource& source, const std::string& suffix, const std::string& where, const JobContext& ctx, const ReadModule& read);

/// A key that may be absent or null.
Json optional_key(const Json& object, const char* key);

}  // namespace tenpak::quant

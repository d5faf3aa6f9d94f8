// SPDX-License-Identifier: Apache-2.0
// What AutoAWQ and GPTQ files have in common: one group size for the whole model, scales in fp16 with a row a group, words
// along the inputs or outputs.
#pragma once
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "core/quant/layouts/model_writer.h"

namespace tenpak::quant {

/// The group size that a model is written with: the largest of 128, 64, 32 and 16 that divides every weight's own, so that each
/// group becomes whole ones with the same scale and the same values; 0: one group a row everywhere ("-1" in files); none: there
/// is no such size. `groups`: (columns of a group, columns of a row) of every weight.
std::optional<std::uint32_t> common_group(std::span<const std::pair<std::uint32_t, std::uint32_t>> groups);
Result<std::uint32_t> common_group(const QuantizedModel& model, const char* layout);

/// How often each of a weight's groups is written for a common group size.
std::uint32_t repeat_of(const compute::LinearWeight& w, std::uint32_t common);

/// scales fp16 [groups * repeat][n]. kUnsupported for a scale beyond fp16. Scales that fp16 rounds (below 2^-17): scales_note().
Status plan_fp16_scales(const std::string& module, const compute::LinearWeight& w, std::uint32_t repeat, Plan& plan);
/// Of rounded scales, and of groups that are written in parts.
std::vector<std::string> group_layout_notes(const QuantizedModel& model);

/// int32 [rows][columns] -> [columns][rows].
Bytes transposed_words(std::span<const std::uint32_t> words, std::size_t rows, std::size_t columns);

}  // namespace tenpak::quant

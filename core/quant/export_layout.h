// SPDX-License-Identifier: Apache-2.0
// Writes a quantized model as a Hugging Face directory that vLLM and transformers load unconverted, and reads it back.
// compressed-tensors "pack-quantized" (4 bit, 8 bit weight-only) and "int-quantized" (W8A8): reference optimizer.md 4.3, 4.4.
#pragma once
#include <memory>
#include <string>

#include "core/quant/quantize.h"

namespace tenpak::quant {

/// `out` must not exist or be empty (AtomicDirectory). Side files are copied; config.json gets quantization_config.
/// Weights beyond kShardBytes are split over several files with an index; memory stays bounded by one such file. Groups
/// of 256 are written as 128 with each scale twice: same values, and every kernel of vLLM knows 128.
/// kUnsupported for fp16 (nothing to export) and for a tensor whose codes the layout cannot hold.
Status export_compressed_tensors(const ModelSource& source, const std::vector<std::string>& side_files, const QuantizedModel& model,
                                 const fs::path& out, const JobContext& ctx);
inline constexpr std::uint64_t kShardBytes = 2'000'000'000;
/// What a user of the exported directory must know: groups written otherwise than measured, loaders that need an option.
std::vector<std::string> compressed_tensors_notes(const QuantizedModel& model);

/// The linears of a compressed-tensors directory as overrides; empty when the model is not quantized.
/// kUnsupported names the scheme that is not known; kMalformed when tensors and config.json disagree.
Result<compute::WeightOverrides> import_quantized(const ModelSource& source, const JobContext& ctx);

}  // namespace tenpak::quant

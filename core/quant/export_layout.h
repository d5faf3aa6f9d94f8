// SPDX-License-Identifier: Apache-2.0
// Writes a quantized model as a Hugging Face directory that vLLM and transformers load unconverted, and reads it back.
// compressed-tensors "pack-quantized" (4 bit, 8 bit weight-only) and "int-quantized" (W8A8): reference optimizer.md 4.3, 4.4.
#pragma once
#include <memory>
#include <string>

#include "core/quant/quantize.h"

namespace tenpak::quant {

/// `out` must not exist or be empty (AtomicDirectory). Side files are copied; config.json gets quantization_config.
Status export_compressed_tensors(const ModelSource& source, const std::vector<std::string>& side_files, const QuantizedModel& model,
                                 const fs::path& out, const JobContext& ctx);
/// The linears of a compressed-tensors directory as overrides; empty when the model is not quantized.
/// kUnsupported names the scheme that is not known.
Result<compute::WeightOverrides> import_quantized(const ModelSource& source, const JobContext& ctx);

}  // namespace tenpak::quant

// SPDX-License-Identifier: Apache-2.0
// The linear weights of a GGUF file in the engine's packed formats, where they map exactly: Q4_0 to 4-bit groups of 32, Q8_0
// to 8-bit groups of 32, Q6_K to 8-bit groups of 16; and Q4_1 whose minima are whole zeros times scales (export_gguf writes
// such) to 4-bit groups with zeros.
#pragma once
#include <string>
#include <vector>

#include "core/base/job_context.h"
#include "core/quant/layouts/gguf_model.h"

namespace tenpak::quant {

Result<compute::WeightOverrides> import_gguf(const GgufModel& model, const JobContext& ctx);
/// What a user must know about measurements of this file here: formats that do not run as they are. `imported`: what
/// import_quantized() gave for it. Empty for other models.
std::vector<std::string> gguf_import_notes(const ModelSource& source, const compute::WeightOverrides& imported);

}  // namespace tenpak::quant

// SPDX-License-Identifier: Apache-2.0
// One function a layout, behind export_model() and import_quantized() (core/quant/export_layout.h).
#pragma once
#include "core/base/json.h"
#include "core/quant/export_layout.h"

namespace tenpak::quant {

Status export_autoawq(const ModelSource& source, const std::vector<std::string>& side_files, const QuantizedModel& model, const fs::path& out,
                      const JobContext& ctx);
/// `v2`: checkpoint_format "gptq_v2". Without it a zero point of 0 cannot be stored: kUnsupported names gptq_v2.
Status export_gptq(bool v2, const ModelSource& source, const std::vector<std::string>& side_files, const QuantizedModel& model,
                   const fs::path& out, const JobContext& ctx);
Status export_bitsandbytes(const ModelSource& source, const std::vector<std::string>& side_files, const QuantizedModel& model,
                           const fs::path& out, const JobContext& ctx);
/// Dequantized, in the model's own 16-bit type.
Status export_dense(const ModelSource& source, const std::vector<std::string>& side_files, const QuantizedModel& model, const fs::path& out,
                    const JobContext& ctx);

/// `q`: config.json's quantization_config, an object. `where`: for messages.
using Overrides = Result<compute::WeightOverrides>;
Overrides import_autoawq(const ModelSource& source, const Json& q, const std::string& where, const JobContext& ctx);
Overrides import_gptq(const ModelSource& source, const Json& q, const std::string& where, const JobContext& ctx);
Overrides import_compressed_tensors(const ModelSource& source, const Json& q, const std::string& where, const JobContext& ctx);
Overrides import_fp8(const ModelSource& source, const Json& q, const std::string& where, const JobContext& ctx);
Overrides import_bitsandbytes(const ModelSource& source, const Json& q, const std::string& where, const JobContext& ctx);

}  // namespace tenpak::quant

// SPDX-License-Identifier: Apache-2.0
// One .gguf file for llama.cpp.
#pragma once
#include "core/quant/export_layout.h"

namespace tenpak::quant {

/// As check_layout(): kUnsupported says why llama.cpp's formats cannot hold this candidate.
Status check_gguf(const model::ModelConfig& config, const Candidate& candidate);
/// As export_model(); `out` is the file.
Status export_gguf(const ModelSource& source, const std::vector<std::string>& side_files, const QuantizedModel& model, const fs::path& out,
                   const JobContext& ctx);
std::vector<std::string> gguf_notes(const QuantizedModel& model);

}  // namespace tenpak::quant

// SPDX-License-Identifier: Apache-2.0
// One .gguf file for llama.cpp: core/tensor/GGUF.md says what is written how.
#pragma once
#include "core/quant/export_layout.h"

namespace tenpak::quant {

/// As check_layout(): kUnsupported says why llama.cpp's formats cannot hold this candidate. fp16 can be written, too.
Status check_gguf(const model::ModelConfig& config, const Candidate& candidate);
/// As export_model(); `out` is the file, which must not exist. A model without quantized weights is written as it is.
/// kUnsupported where llama.cpp has no such architecture, tokenizer or number format: nothing that it would compute otherwise
/// is written.
Status export_gguf(const ModelSource& source, const std::vector<std::string>& side_files, const QuantizedModel& model, const fs::path& out,
                   const JobContext& ctx);
/// Weights that rounding scales to fp16 moves.
std::vector<std::string> gguf_notes(const QuantizedModel& model);
/// Where llama.cpp's graph or tokenizer differs from the model's own in ways that matter rarely.
std::vector<std::string> gguf_source_notes(const ModelSource& source);

}  // namespace tenpak::quant

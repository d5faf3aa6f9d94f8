// SPDX-License-Identifier: Apache-2.0
#include "core/quant/layouts/gguf_export.h"

namespace tenpak::quant {

Status check_gguf(const model::ModelConfig&, const Candidate&) {
    return make_error(ErrorCode::kUnsupported, "this build writes no GGUF", {}, "Choose another layout");
}

Status export_gguf(const ModelSource&, const std::vector<std::string>&, const QuantizedModel& model, const fs::path& out, const JobContext&) {
    return make_error(ErrorCode::kUnsupported, "this build writes no GGUF of " + model.candidate.name, out.string(), "Choose another layout");
}

std::vector<std::string> gguf_notes(const QuantizedModel&) { return {}; }

}  // namespace tenpak::quant

// SPDX-License-Identifier: Apache-2.0
#include "core/quant/export_layout.h"

#include "core/quant/layouts/gguf_export.h"

namespace tenpak::quant {

const char* layout_name(Layout layout) {
    switch (layout) {
        case Layout::kCompressedTensors: return "compressed-tensors";
        case Layout::kAutoAwq: return "awq";
        case Layout::kGptq: return "gptq";
        case Layout::kGptqV2: return "gptq_v2";
        case Layout::kBitsandbytes: return "bitsandbytes";
        case Layout::kGguf: return "gguf";
        case Layout::kBf16: return "bf16";
    }
    return "unknown";
}

Result<Layout> find_layout(std::string_view name) {
    std::string known;
    for (const Layout l : kLayouts) {
        if (name == layout_name(l)) return l;
        known += (known.empty() ? "" : ", ") + std::string(layout_name(l));
    }
    return make_error(ErrorCode::kInvalidArgument, "unknown layout \"" + std::string(name) + "\"", {}, "Known layouts: " + known);
}

Status check_layout(Layout layout, const model::ModelConfig& config, const Candidate& candidate) {
    if (layout == Layout::kGguf) return check_gguf(config, candidate);  // fp16, too: llama.cpp reads no safetensors
    if (!candidate.lossy()) {
        return make_error(ErrorCode::kUnsupported, "candidate " + candidate.name + " changes no weights: there is nothing to export", {},
                          "The model directory itself is the fp16 candidate");
    }
    if (layout == Layout::kCompressedTensors) return {};
    return make_error(ErrorCode::kUnsupported, std::string("layout ") + layout_name(layout) + " cannot hold " + candidate.name, {}, "Choose compressed-tensors");
}

Layout default_layout(const model::ModelConfig&, const Candidate&) { return Layout::kCompressedTensors; }

Status export_model(Layout layout, const ModelSource& source, const std::vector<std::string>& side_files, const QuantizedModel& model,
                    const fs::path& out, const JobContext& ctx) {
    switch (layout) {
        case Layout::kCompressedTensors: return export_compressed_tensors(source, side_files, model, out, ctx);
        case Layout::kGguf: return export_gguf(source, side_files, model, out, ctx);
        default: break;
    }
    return make_error(ErrorCode::kUnsupported, std::string("layout ") + layout_name(layout) + " cannot hold " + model.candidate.name, out.string());
}

std::vector<std::string> layout_notes(Layout layout, const QuantizedModel& model) {
    if (layout == Layout::kCompressedTensors) return compressed_tensors_notes(model);
    if (layout == Layout::kGguf) return gguf_notes(model);
    return {};
}

}  // namespace tenpak::quant

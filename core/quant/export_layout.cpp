// SPDX-License-Identifier: Apache-2.0
#include "core/quant/export_layout.h"

#include "core/model/layout.h"
#include "core/quant/layouts/gguf_export.h"
#include "core/quant/layouts/integer_groups.h"
#include "core/quant/layouts/layout_functions.h"
#include "core/quant/layouts/linear_forms.h"

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

namespace {

// One layout alone, without the hint of what else there is.
Status check_one(Layout layout, const model::ModelConfig& config, const Candidate& candidate) {
    if (layout == Layout::kGguf) return check_gguf(config, candidate);
    if (candidate.method == Method::kMixed && layout != Layout::kCompressedTensors && layout != Layout::kBf16) {
        return make_error(ErrorCode::kUnsupported, std::string("layout ") + layout_name(layout) + " cannot hold " + candidate.name + ": it has one format for all linears");
    }
    if (candidate.method == Method::kMixed && layout == Layout::kCompressedTensors && model::layer_layout(config, 0).linears.front().transposed) {
        return make_error(ErrorCode::kUnsupported, "weights that are stored transposed (Conv1D) have no form in compressed-tensors");
    }
    return check_forms(layout, planned_forms(config, candidate), candidate.name);
}

}  // namespace

Status check_layout(Layout layout, const model::ModelConfig& config, const Candidate& candidate) {
    if (layout == Layout::kGguf) return check_gguf(config, candidate);  // fp16, too: llama.cpp reads no safetensors
    if (!candidate.lossy()) {
        return make_error(ErrorCode::kUnsupported, "candidate " + candidate.name + " changes no weights: there is nothing to export", {},
                          "The model directory itself is the fp16 candidate");
    }
    Status status = check_one(layout, config, candidate);
    if (status.ok()) return status;
    std::string others;
    for (const Layout l : kLayouts) {
        if (l != layout && check_one(l, config, candidate).ok()) others += (others.empty() ? "" : ", ") + std::string(layout_name(l));
    }
    Error e = std::move(status).error();
    e.hint = "Layouts that can: " + others;
    return e;
}

Status export_model(Layout layout, const ModelSource& source, const std::vector<std::string>& side_files, const QuantizedModel& model,
                    const fs::path& out, const JobContext& ctx) {
    switch (layout) {
        case Layout::kCompressedTensors: return export_compressed_tensors(source, side_files, model, out, ctx);
        case Layout::kAutoAwq: return export_autoawq(source, side_files, model, out, ctx);
        case Layout::kGptq: return export_gptq(false, source, side_files, model, out, ctx);
        case Layout::kGptqV2: return export_gptq(true, source, side_files, model, out, ctx);
        case Layout::kBitsandbytes: return export_bitsandbytes(source, side_files, model, out, ctx);
        case Layout::kGguf: return export_gguf(source, side_files, model, out, ctx);
        case Layout::kBf16: return export_dense(source, side_files, model, out, ctx);
    }
    return make_error(ErrorCode::kInternal, "no such layout", out.string());
}

std::vector<std::string> layout_notes(Layout layout, const QuantizedModel& model) {
    std::vector<std::string> notes;
    switch (layout) {
        case Layout::kCompressedTensors: return compressed_tensors_notes(model);
        case Layout::kGguf: return gguf_notes(model);
        case Layout::kAutoAwq:
        case Layout::kGptq:
        case Layout::kGptqV2: return group_layout_notes(model);
        case Layout::kBitsandbytes: break;
        case Layout::kBf16: notes.emplace_back("the values are the candidate's, rounded to 16 bit; size and speed are those of the unquantized model"); break;
    }
    return notes;
}

}  // namespace tenpak::quant

// SPDX-License-Identifier: Apache-2.0
// tenpak quantize MODEL --candidate C -o DIR
#include <cstdio>

#include "app/cli/command.h"
#include "core/artifact/artifact.h"
#include "core/compute/cpu/cpu_backend.h"
#include "core/quant/export_layout.h"
#include "core/quant/layouts/gguf_export.h"
#include "core/quant/layouts/gguf_model.h"
#include "core/quant/quantize.h"

namespace tenpak::cli {
namespace {

struct Options {
    std::string model, base, candidate, output, calibration, layout = "compressed-tensors";
};

// The sample keeps its calibration text beside the models, in text/.
Result<std::string> calibration_file(const Options& o, const fs::path& model) {
    if (!o.calibration.empty()) return o.calibration;
    std::error_code ec;
    const fs::path bundled = fs::absolute(model, ec).lexically_normal() / ".." / "text" / "calibration.txt";
    if (fs::is_regular_file(bundled, ec)) return bundled.lexically_normal().string();
    return make_error(ErrorCode::kInvalidArgument, "candidate " + o.candidate + " needs a calibration text", o.model,
                      "Name one with --calibration FILE: plain text like what the model will see, some 100 kB");
}

/// What goes into the output beside the weights.
Result<std::vector<std::string>> side_files_of(const std::string& path, const ModelSource& source) {
    std::vector<std::string> names;
    if (const auto* directory = dynamic_cast<const ModelDirectory*>(&source)) {
        for (const ModelFile& f : directory->files())
            if (!f.weights) names.push_back(f.path);
        return names;
    }
    if (dynamic_cast<const quant::GgufModel*>(&source) != nullptr) return quant::GgufModel::side_files();
    TENPAK_ASSIGN(const auto artifact, Artifact::open(path));
    for (const FileRecord& f : artifact->files())
        if (!f.path.ends_with(".safetensors")) names.push_back(f.path);
    return names;
}

Result<std::vector<model::Token>> read_calibration(const ModelSource& source, const std::string& file) {
    TENPAK_ASSIGN(const auto tokenizer, model::load_tokenizer(source));
    TENPAK_ASSIGN(const std::string text, read_text_file(file));
    auto tokens = tokenizer->encode(text, false);
    if (!tokens.ok() && tokens.error().where.empty()) {
        Error e = tokens.error();
        e.where = file;
        return e;
    }
    return tokens;
}

std::string summary(const quant::QuantizedModel& m, const std::vector<std::string>& notes, const Options& o) {
    char line[256];
    std::snprintf(line, sizeof line, "%s: %s instead of %s in 16 bit (%.2fx), %.3f bits per quantized weight, %s\n", m.candidate.name.c_str(),
                  format_bytes(static_cast<double>(m.stored_bytes)).c_str(), format_bytes(static_cast<double>(m.baseline_bytes)).c_str(),
                  static_cast<double>(m.baseline_bytes) / static_cast<double>(m.stored_bytes), m.bits_per_weight, format_duration(m.seconds).c_str());
    std::string text = line;
    for (const std::string& note : notes) text += "note: " + note + "\n";
    return text + "written to " + o.output + " (" + o.layout + ")";
}

Result<int> run(const Context& ctx, const Options& o) {
    TENPAK_ASSIGN(const quant::Layout layout, quant::find_layout(o.layout));
    TENPAK_ASSIGN(const quant::Candidate candidate, quant::find_candidate(o.candidate));
    if (!candidate.lossy() && layout != quant::Layout::kGguf) {
        return make_error(ErrorCode::kInvalidArgument, "candidate fp16 is the model itself: there is nothing to quantize", {}, "Name another candidate, or write it for llama.cpp with --layout gguf");
    }
    TENPAK_ASSIGN(const auto source, open_model(o.model, o.base));
    TENPAK_ASSIGN(const auto config, model::read_config(*source));
    TENPAK_RETURN_IF_ERROR(quant::check_layout(layout, config, candidate));
    TENPAK_ASSIGN(const std::vector<std::string> side_files, side_files_of(o.model, *source));
    // An output that cannot be written is refused before minutes of work; the probe vanishes at once.
    TENPAK_RETURN_IF_ERROR([&]() -> Status {
        TENPAK_ASSIGN(const AtomicDirectory probe, AtomicDirectory::create(o.output));
        return {};
    }());
    std::string file;
    std::vector<model::Token> tokens;
    if (candidate.needs_calibration()) {
        TENPAK_ASSIGN(file, calibration_file(o, o.model));
        TENPAK_ASSIGN(tokens, read_calibration(*source, file));
    }
    const auto backend = compute::make_cpu_backend();
    quant::QuantizedModel m;
    m.candidate = candidate;
    if (candidate.lossy()) {
        TENPAK_ASSIGN(m, quant::quantize(source, candidate, tokens, {}, *backend, ctx.job));
    } else {
        m.stored_bytes = m.baseline_bytes = source->parameters() * 2;
        m.bits_per_weight = 16;
    }
    TENPAK_RETURN_IF_ERROR(quant::export_model(layout, *source, side_files, m, o.output, ctx.job));

    std::vector<std::string> notes = m.notes;
    for (std::string& note : quant::layout_notes(layout, m)) notes.push_back(std::move(note));
    if (layout == quant::Layout::kGguf) {
        for (std::string& note : quant::gguf_source_notes(*source)) notes.push_back(std::move(note));
    }
    OrderedJson errors = OrderedJson::array();
    for (const quant::LayerError& e : m.errors) errors.push_back({{"name", e.name}, {"relative_error", e.relative}, {"nearest_error", e.nearest}, {"group", e.group}});
    OrderedJson json = {{"candidate", candidate.name},
                        {"output", o.output},
                        {"layout", o.layout},
                        {"bits_per_weight", m.bits_per_weight},
                        {"compression", static_cast<double>(m.baseline_bytes) / static_cast<double>(m.stored_bytes)},
                        {"baseline_bytes", m.baseline_bytes},
                        {"stored_bytes", m.stored_bytes},
                        {"seconds", m.seconds},
                        {"calibration", file.empty() ? OrderedJson() : OrderedJson(file)},
                        {"calibration_tokens", tokens.size()},
                        {"notes", notes},
                        {"tensors", errors}};
    print_result(ctx, json, summary(m, notes, o));
    return 0;
}

}  // namespace

void add_quantize(CLI::App& app, Context& ctx) {
    auto o = std::make_shared<Options>();
    CLI::App* sub = app.add_subcommand("quantize", "Quantize a model into a directory that vLLM and transformers load");
    sub->add_option("model", o->model, "Model directory or .tnpk")->required();
    sub->add_option("--base", o->base, "Base model, where the model is a delta: nothing is rebuilt on disk");
    sub->add_option("--candidate,-c", o->candidate, "int8, int8_g128, rtn_g128, awq_g128, awq_g256 or gptq_g128")->required();
    sub->add_option("-o,--output", o->output, "Directory to write; must not exist or be empty")->required();
    sub->add_option("--calibration", o->calibration, "Text that AWQ and GPTQ measure activations on (default: text/calibration.txt beside the model)");
    sub->add_option("--layout", o->layout, "compressed-tensors, or gguf for llama.cpp (OUTPUT is the file then)")->capture_default_str();
    sub->callback([o, &ctx] { ctx.run = [o, &ctx] { return run(ctx, *o); }; });
}

}  // namespace tenpak::cli

// SPDX-License-Identifier: Apache-2.0
// tenpak quantize MODEL --candidate C [--layout L] -o DIR, or --verdict to see who loads it before minutes of work.
#include <cstdio>

#include "app/cli/command.h"
#include "core/artifact/artifact.h"
#include "core/compute/cpu/cpu_backend.h"
#include "core/quant/engine_support.h"
#include "core/quant/export_layout.h"
#include "core/quant/layouts/gguf_export.h"
#include "core/quant/layouts/gguf_model.h"
#include "core/quant/quantize.h"

namespace tenpak::cli {
namespace {

struct Options {
    std::string model, base, candidate, output, calibration, layout;
    bool verdict = false;
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

std::string summary(const quant::QuantizedModel& m, const std::vector<std::string>& notes, const Options& o, const std::string& layout) {
    char line[256];
    std::snprintf(line, sizeof line, "%s: %s instead of %s in 16 bit (%.2fx), %.3f bits per quantized weight, %s\n", m.candidate.name.c_str(),
                  format_bytes(static_cast<double>(m.stored_bytes)).c_str(), format_bytes(static_cast<double>(m.baseline_bytes)).c_str(),
                  static_cast<double>(m.baseline_bytes) / static_cast<double>(m.stored_bytes), m.bits_per_weight, format_duration(m.seconds).c_str());
    std::string text = line;
    for (const std::string& note : notes) text += "note: " + note + "\n";
    return text + "written to " + o.output + " (" + layout + ")";
}

// Without the last line's end, which the printers add.
std::string trimmed(std::string text) {
    while (text.ends_with('\n')) text.pop_back();
    return text;
}

struct Choice {
    quant::Candidate candidate;
    quant::Layout layout = quant::Layout::kCompressedTensors;
    std::vector<quant::EngineVerdict> verdicts;
};

// The layout asked for, or the one that most engines load; a layout that cannot hold the candidate is refused here.
Result<Choice> choose(const ModelSource& source, const Options& o) {
    Choice c;
    TENPAK_ASSIGN(c.candidate, quant::find_candidate(o.candidate));
    if (!c.candidate.lossy() && o.layout != quant::layout_name(quant::Layout::kGguf)) {
        return make_error(ErrorCode::kInvalidArgument, "candidate fp16 is the model itself: there is nothing to quantize", {}, "Name another candidate, or write it for llama.cpp with --layout gguf");
    }
    TENPAK_ASSIGN(const model::ModelConfig config, model::read_config(source));
    if (o.layout.empty()) {
        c.layout = quant::default_layout(config, c.candidate);
    } else {
        TENPAK_ASSIGN(c.layout, quant::find_layout(o.layout));
        TENPAK_RETURN_IF_ERROR(quant::check_layout(c.layout, config, c.candidate));
    }
    c.verdicts = quant::engine_verdicts(config, c.candidate, c.layout);
    return c;
}

// Every layout that can hold the candidate, the chosen one first.
Result<int> print_verdicts(const Context& ctx, const ModelSource& source, const Choice& c, const Options& o) {
    TENPAK_ASSIGN(const model::ModelConfig config, model::read_config(source));
    OrderedJson layouts = OrderedJson::array();
    std::string text;
    const auto add = [&](quant::Layout l) {
        const auto verdicts = quant::engine_verdicts(config, c.candidate, l);
        layouts.push_back({{"layout", quant::layout_name(l)}, {"engines", quant::verdicts_json(verdicts)}});
        text += (text.empty() ? "" : "\n") + c.candidate.name + " as " + quant::layout_name(l) + (l == c.layout && o.layout.empty() ? " (the default)" : "") + ":\n" + quant::verdicts_text(verdicts);
    };
    add(c.layout);
    for (const quant::Layout l : quant::kLayouts) {
        if (o.layout.empty() && l != c.layout && quant::check_layout(l, config, c.candidate).ok()) add(l);
    }
    print_result(ctx, {{"candidate", c.candidate.name}, {"layout", quant::layout_name(c.layout)}, {"layouts", layouts}}, trimmed(text));
    return 0;
}

// An output that cannot be written is refused before minutes of work; the probe vanishes at once.
Status probe_output(const std::string& path, quant::Layout layout) {
    if (layout == quant::Layout::kGguf) {
        std::error_code ec;
        if (fs::exists(path, ec)) return make_error(ErrorCode::kInvalidArgument, "the file to write exists", path, "Name a new .gguf file");
        TENPAK_ASSIGN(const AtomicFile probe, AtomicFile::create(path));
        return {};
    }
    TENPAK_ASSIGN(const AtomicDirectory probe, AtomicDirectory::create(path));
    return {};
}

// Where finished layers of a run that was cut off wait: beside the output.
fs::path layers_folder(const std::string& output) {
    fs::path folder = fs::path(output).lexically_normal();
    if (!folder.has_filename()) folder = folder.parent_path();  // "out/"
    return folder += ".layers";
}

// Calibrated methods take minutes to hours: the same command goes on after a kill.
Result<quant::QuantizedModel> quantized(const Context& ctx, std::shared_ptr<const ModelSource> source, const quant::Candidate& candidate, std::span<const model::Token> tokens,
                                        const std::string& output) {
    const auto backend = compute::make_cpu_backend();
    if (!candidate.needs_calibration()) return quant::quantize(std::move(source), candidate, tokens, {}, *backend, ctx.job);
    const fs::path folder = layers_folder(output);
    quant::QuantizeManyOptions options;
    options.checkpoints = folder;
    quant::QuantizedModel result;
    const auto take = [&](quant::QuantizedModel m) -> Status {
        result = std::move(m);
        return {};
    };
    const Status s = quant::quantize_many(std::move(source), std::span(&candidate, 1), tokens, options, *backend, ctx.job, take);
    std::error_code ec;
    if (!s.ok()) {
        Error e = s.error();
        if (e.code == ErrorCode::kCancelled && fs::exists(folder, ec)) e.hint = "Finished layers are kept in " + folder.string() + ": the same command goes on";
        return e;
    }
    return result;
}

Result<int> run(const Context& ctx, const Options& o) {
    TENPAK_ASSIGN(const auto source, open_model(o.model, o.base));
    TENPAK_ASSIGN(const Choice choice, choose(*source, o));
    const quant::Candidate& candidate = choice.candidate;
    const std::string layout = quant::layout_name(choice.layout);
    if (o.verdict) return print_verdicts(ctx, *source, choice, o);
    if (o.output.empty()) return make_error(ErrorCode::kInvalidArgument, "no output is named", {}, "Name a directory to write with -o, or ask for --verdict alone");
    TENPAK_ASSIGN(const std::vector<std::string> side_files, side_files_of(o.model, *source));
    TENPAK_RETURN_IF_ERROR(probe_output(o.output, choice.layout));
    print_note(ctx, candidate.name + " as " + layout + " loads in:\n" + trimmed(quant::verdicts_text(choice.verdicts)));
    std::string file;
    std::vector<model::Token> tokens;
    if (candidate.needs_calibration()) {
        TENPAK_ASSIGN(file, calibration_file(o, o.model));
        TENPAK_ASSIGN(tokens, read_calibration(*source, file));
    }
    quant::QuantizedModel m;
    m.candidate = candidate;
    if (candidate.lossy()) {
        TENPAK_ASSIGN(m, quantized(ctx, source, candidate, tokens, o.output));
    } else {
        m.stored_bytes = m.baseline_bytes = source->parameters() * 2;
        m.bits_per_weight = 16;
    }
    TENPAK_RETURN_IF_ERROR(quant::export_model(choice.layout, *source, side_files, m, o.output, ctx.job));
    std::error_code ec;
    if (candidate.needs_calibration()) fs::remove_all(layers_folder(o.output), ec);

    TENPAK_ASSIGN(const model::ModelConfig config, model::read_config(*source));
    const auto verdicts = quant::engine_verdicts(config, m, choice.layout);  // of the weights as they are: known of mixed ones only now
    std::vector<std::string> notes = m.notes;
    for (std::string& note : quant::layout_notes(choice.layout, m)) notes.push_back(std::move(note));
    if (choice.layout == quant::Layout::kGguf) {
        for (std::string& note : quant::gguf_source_notes(*source)) notes.push_back(std::move(note));
    }
    OrderedJson errors = OrderedJson::array();
    for (const quant::LayerError& e : m.errors) errors.push_back({{"name", e.name}, {"relative_error", e.relative}, {"nearest_error", e.nearest}, {"group", e.group}});
    OrderedJson json = {{"candidate", candidate.name},
                        {"output", o.output},
                        {"layout", layout},
                        {"bits_per_weight", m.bits_per_weight},
                        {"compression", static_cast<double>(m.baseline_bytes) / static_cast<double>(m.stored_bytes)},
                        {"baseline_bytes", m.baseline_bytes},
                        {"stored_bytes", m.stored_bytes},
                        {"seconds", m.seconds},
                        {"calibration", file.empty() ? OrderedJson() : OrderedJson(file)},
                        {"calibration_tokens", tokens.size()},
                        {"engines", quant::verdicts_json(verdicts)},
                        {"notes", notes},
                        {"tensors", errors}};
    print_result(ctx, json, summary(m, notes, o, layout));
    return 0;
}

}  // namespace

void add_quantize(CLI::App& app, Context& ctx) {
    auto o = std::make_shared<Options>();
    CLI::App* sub = app.add_subcommand("quantize", "Quantize a model into a directory that vLLM and transformers load");
    sub->add_option("model", o->model, "Model directory or .tnpk")->required();
    sub->add_option("--base", o->base, "Base model, where the model is a delta: nothing is rebuilt on disk");
    sub->add_option("--candidate,-c", o->candidate, "int8, int8_g128, llm_int8, fp8, nf4, rtn_g128, awq_g128, gptq_g128, … (an unknown name lists all)")->required();
    sub->add_option("-o,--output", o->output, "Directory to write; must not exist or be empty. For gguf: the file");
    sub->add_option("--calibration", o->calibration, "Text that AWQ and GPTQ measure activations on (default: text/calibration.txt beside the model)");
    sub->add_option("--layout", o->layout, "compressed-tensors, awq, gptq, gptq_v2, bitsandbytes, gguf or bf16 (default: the one that most serving engines load this candidate from)");
    sub->add_flag("--verdict,--dry-run", o->verdict, "Only say which serving engines will load the result, on which kernel, and why not");
    sub->callback([o, &ctx] { ctx.run = [o, &ctx] { return run(ctx, *o); }; });
}

}  // namespace tenpak::cli

// SPDX-License-Identifier: Apache-2.0
// All candidates in one pass: what each costs in time, and what it does to the perplexity of a text, paired with the model
// itself and with round-to-nearest. Other directories (a reference library's result) are measured on the same windows.
#include <CLI/CLI.hpp>
#include <ctime>
#include <cstdio>

#include "core/compute/cpu/cpu_backend.h"
#include "core/evaluate/perplexity.h"
#include "core/quant/quantize.h"

using namespace tenpak;

namespace {

double cpu_seconds() { return static_cast<double>(std::clock()) / CLOCKS_PER_SEC; }

struct Bench {
    std::shared_ptr<const ModelSource> source;
    std::unique_ptr<compute::Backend> backend;
    std::vector<model::Token> text;
    evaluate::PerplexityOptions options;
    std::optional<evaluate::PerplexityResult> base, nearest;

    Status show(const std::string& name, std::shared_ptr<const ModelSource> of, const compute::WeightOverrides& weights, double bits, double error, double seconds) {
        TENPAK_ASSIGN(const auto model, model::Transformer::load(std::move(of), weights, *backend, {}, {}));
        TENPAK_ASSIGN(const auto p, evaluate::perplexity(*model, text, options, {}));
        const auto against = [&](const std::optional<evaluate::PerplexityResult>& other) -> std::string {
            if (!other) return "-";
            const auto d = evaluate::paired_delta(p, *other);
            if (!d.ok()) return d.error().what;
            char s[80];
            std::snprintf(s, sizeof s, "%+.3f [%+.3f, %+.3f]", d->percent, d->low, d->high);
            return s;
        };
        std::printf("%-24s %9.4f  %-26s %-26s %7.3f %10.6f %7.1f\n", name.c_str(), p.perplexity, against(base).c_str(), against(nearest).c_str(), bits, error, seconds);
        std::fflush(stdout);
        if (!base) base = p;
        if (name == "rtn_g128") nearest = p;
        return {};
    }
};

Status run(int argc, char** argv) {
    CLI::App app("Quantizes by all candidates in one pass and measures each");
    std::string model, calibration, text, names, checkpoints;
    std::vector<std::string> also;
    quant::QuantizeManyOptions o;
    unsigned threads = 0, windows = 0, context = 256, group = 0;
    bool only_quantize = false, clip = false;
    app.add_option("model", model, "Model directory")->required();
    app.add_option("--calibration", calibration, "Text that is calibrated on")->required();
    app.add_option("--text", text, "Text that is measured on")->required();
    app.add_option("-c,--candidates", names, "Candidates, the first two best fp16 and rtn_g128 (default: the default list)");
    app.add_option("--group", group, "Group of all grouped candidates, instead of their own");
    app.add_option("--sequences", o.calibration.sequences, "Calibration windows");
    app.add_option("--length", o.calibration.length, "Tokens of each");
    app.add_flag("--propagate", o.calibration.propagate, "GPTQ sees what the quantized part of the model computes");
    app.add_flag("--clip", clip, "GPTQ searches each group's range");
    app.add_option("--checkpoints", checkpoints, "Folder of finished layers");
    app.add_option("--windows", windows, "Windows measured (default: all)");
    app.add_option("--context", context, "Tokens of each");
    app.add_option("--threads", threads, "Threads");
    app.add_option("--also", also, "Directories of the same model to measure");
    app.add_flag("--only-quantize", only_quantize, "No perplexity");
    try {
        app.parse(argc, argv);
    } catch (const CLI::ParseError& e) {
        std::exit(app.exit(e));
    }
    Bench b;
    b.backend = threads == 0 ? compute::make_cpu_backend() : compute::make_cpu_backend(threads);
    TENPAK_ASSIGN(b.source, ModelDirectory::open(model));
    TENPAK_ASSIGN(const auto tokenizer, model::load_tokenizer(*b.source));
    const auto tokens = [&](const std::string& path) -> Result<std::vector<model::Token>> {
        TENPAK_ASSIGN(const std::string content, read_text_file(path));
        return tokenizer->encode(content, false);
    };
    TENPAK_ASSIGN(const auto calibration_tokens, tokens(calibration));
    TENPAK_ASSIGN(b.text, tokens(text));
    b.options.context = context;
    b.options.max_windows = windows;
    o.checkpoints = checkpoints;
    TENPAK_ASSIGN(std::vector<quant::Candidate> candidates, quant::parse_candidates(names));
    for (quant::Candidate& c : candidates) {
        if (group != 0 && c.group != 0) c.group = group;
        if (clip && c.method == quant::Method::kGptq) c.clip = true;
    }
    std::printf("%-24s %9s  %-26s %-26s %7s %10s %7s\n", "candidate", "ppl", "to the first %", "to rtn_g128 %", "bits", "error", "s");
    const double begin = cpu_seconds();
    double quantized = 0;
    TENPAK_RETURN_IF_ERROR(quant::quantize_many(b.source, candidates, calibration_tokens, o, *b.backend, {}, [&](quant::QuantizedModel q) -> Status {
        if (quantized == 0) quantized = cpu_seconds() - begin;
        double error = 0;
        for (const quant::LayerError& e : q.errors) error += e.relative / static_cast<double>(q.errors.size());
        if (only_quantize) {
            std::printf("%-24s %7.3f bits, error %.6f, %.1f s\n", q.candidate.name.c_str(), q.bits_per_weight, error, q.seconds);
            return {};
        }
        return b.show(q.candidate.name, b.source, q.weights, q.bits_per_weight, error, q.seconds);
    }));
    std::printf("quantizing took %.1f s of CPU time\n", quantized);
    for (const std::string& path : also) {
        TENPAK_ASSIGN(auto other, ModelDirectory::open(path));
        TENPAK_RETURN_IF_ERROR(b.show(fs::path(path).filename().string(), std::move(other), {}, 16, 0, 0));
    }
    return {};
}

}  // namespace

int main(int argc, char** argv) {
    const Status s = run(argc, argv);
    if (s.ok()) return 0;
    std::fprintf(stderr, "%s\n", s.error().text().c_str());
    return 1;
}

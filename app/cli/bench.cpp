// SPDX-License-Identifier: Apache-2.0
// tenpak bench: latency, throughput and memory of a model, measured here.
#include <algorithm>
#include <cmath>
#include <cstdio>

#include "app/cli/command.h"
#include "app/cli/model_loading.h"
#include "core/evaluate/timing.h"
#include "core/quant/quantize.h"

namespace tenpak::cli {
namespace {

struct Options {
    std::string model, base, device, candidate, calibration;
    unsigned prompt = 128, generate = 0, samples = 300, threads = 0;
    std::vector<unsigned> batches;
    model::LoadOptions load;
};

OrderedJson percentiles_json(const evaluate::Percentiles& p) { return {{"p50", p.p50}, {"p95", p.p95}, {"p99", p.p99}}; }

std::string text_of(const evaluate::TimingResult& r, const model::Transformer& m) {
    char line[256];
    std::string text;
    for (const auto& b : r.batches) {
        std::snprintf(line, sizeof line, "batch %-3u %8.2f ms a token (p95 %.2f, p99 %.2f; %llu samples), %.1f tokens/s, variation %.1f %%\n", b.batch, b.latency_ms.p50, b.latency_ms.p95,
                      b.latency_ms.p99, static_cast<unsigned long long>(b.samples), b.decode_tps, 100 * b.variation);
        text += line;
        if (b.samples < 300) text += "          fewer than 300 samples: p99 is little more than the slowest step\n";
    }
    std::snprintf(line, sizeof line, "first token after %.1f ms, prefill %.0f tokens/s\nmemory %s, %s of the %s/s that this machine reads now\n%s", r.time_to_first_token_ms, r.prefill_tps,
                  format_bytes(static_cast<double>(r.memory_bytes)).c_str(), format_percent(r.bandwidth_fraction).c_str(), format_bytes(r.read_bandwidth).c_str(), r.device.c_str());
    text += line;
    for (const auto& k : m.kernels()) text += " · " + k;
    if (m.streamed()) text += " · " + m.memory_plan().note;
    return text;
}

/// The candidate's packed weights in place of the model's own.
Status apply_candidate(const Context& ctx, const Options& o, RunnableModel& m) {
    TENPAK_ASSIGN(const quant::Candidate candidate, quant::find_candidate(o.candidate));
    std::vector<model::Token> tokens;
    if (candidate.needs_calibration()) {
        if (o.calibration.empty()) {
            return make_error(ErrorCode::kInvalidArgument, "candidate " + o.candidate + " needs a calibration text", o.model, "Name one with --calibration FILE");
        }
        TENPAK_ASSIGN(tokens, read_tokens(*m.source, o.calibration));
    }
    TENPAK_ASSIGN(const auto quantized, quant::quantize(m.source, candidate, tokens, {}, *m.backend, ctx.job));
    m.transformer.reset();  // two copies of the model would be needed otherwise
    TENPAK_ASSIGN(m.transformer, model::Transformer::load(m.source, quantized.weights, *m.backend, o.load, ctx.job));
    return {};
}

Result<int> run(const Context& ctx, const Options& o) {
    const bool candidate = !o.candidate.empty() && o.candidate != "fp16";
    model::LoadOptions load = o.load;
    for (const unsigned b : o.batches) load.workload.sequences = std::max(load.workload.sequences, b);
    load.workload.context = o.prompt + std::max(o.generate, 64u);
    TENPAK_ASSIGN(RunnableModel m, load_runnable(ctx, o.model, o.base, o.device, o.threads, load));
    if (candidate) TENPAK_RETURN_IF_ERROR(apply_candidate(ctx, o, m));
    evaluate::TimingOptions options;
    options.prompt = std::min(o.prompt, std::max(1u, m.transformer->config().max_positions / 2));
    options.generate = o.generate;
    options.samples = o.samples;
    if (!o.batches.empty()) options.batches.assign(o.batches.begin(), o.batches.end());
    TENPAK_ASSIGN(const auto r, evaluate::measure_timing(*m.transformer, *m.backend, options, ctx.job));
    const auto& first = r.batches.front();
    OrderedJson batches = OrderedJson::array();
    for (const auto& b : r.batches) {
        batches.push_back({{"batch", b.batch}, {"latency_ms", percentiles_json(b.latency_ms)}, {"samples", b.samples}, {"decode_tps", b.decode_tps}, {"variation", b.variation}});
    }
    print_result(ctx,
                 {{"latency_ms", percentiles_json(first.latency_ms)}, {"samples", first.samples}, {"time_to_first_token_ms", r.time_to_first_token_ms}, {"prefill_tps", r.prefill_tps},
                  {"decode_tps", first.decode_tps}, {"memory_bytes", r.memory_bytes}, {"bandwidth_fraction", r.bandwidth_fraction}, {"backend", r.backend}, {"device", r.device},
                  {"batch", first.batch}, {"prompt", options.prompt}, {"candidate", candidate ? o.candidate : "fp16"}, {"batches", std::move(batches)}, {"read_bandwidth", r.read_bandwidth},
                  {"weight_bytes", m.transformer->weight_bytes()}, {"kernels", m.transformer->kernels()}, {"memory", m.transformer->memory_plan().note}},
                 text_of(r, *m.transformer));
    return 0;
}

}  // namespace

void add_bench(CLI::App& app, Context& ctx) {
    auto* cmd = app.add_subcommand("bench", "Measure a model's latency, throughput and memory on this machine");
    auto o = std::make_shared<Options>();
    cmd->add_option("MODEL", o->model, "Model directory or .tnpk")->required();
    cmd->add_option("--base", o->base, "Base model, where MODEL is a delta");
    cmd->add_option("--candidate", o->candidate, "Quantize to this candidate first (default: the model as it is)");
    cmd->add_option("--calibration", o->calibration, "Text that awq and gptq candidates calibrate on");
    cmd->add_option("--prompt", o->prompt, "Tokens of the prompt (default 128, at most half of the context)")->check(CLI::Range(1u, 1u << 20));
    cmd->add_option("--generate", o->generate, "Tokens a round generates (default 64)")->check(CLI::Range(1u, 1u << 20));
    cmd->add_option("--samples", o->samples, "Decode steps to measure (p99 needs 300)")->check(CLI::Range(1u, 1000000u));
    cmd->add_option("--batch", o->batches, "Sequences at once; a list \"1,4,16\" measures each")->delimiter(',')->check(CLI::Range(1u, 1024u));
    cmd->add_option("--device", o->device, "cpu");
    add_memory_limit(*cmd, o->load.memory_limit);
    cmd->add_option("--threads", o->threads, "Threads (default: all CPUs)")->check(CLI::Range(1u, 1024u));
    cmd->callback([&ctx, o] { ctx.run = [&ctx, o] { return run(ctx, *o); }; });
}

}  // namespace tenpak::cli

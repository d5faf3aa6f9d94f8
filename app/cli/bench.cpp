// SPDX-License-Identifier: Apache-2.0
// tenpak bench: latency, throughput and memory of a model, measured here.
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <filesystem>

#include "app/cli/bench_endpoint.h"
#include "app/cli/command.h"
#include "app/cli/model_loading.h"
#include "core/evaluate/ab_timing.h"
#include "core/evaluate/timing.h"
#include "core/quant/quantize.h"

namespace tenpak::cli {
namespace {

struct Options {
    std::string model, base, device, candidate, calibration, versus, activations;
    unsigned prompt = 128, generate = 0, samples = 300, threads = 0, pairs = 12;
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
        if (b.noisy) {
            std::snprintf(line, sizeof line, "          noisy even in the quietest of %u runs (other processes used %.0f %% of the CPUs): not fit for a ranking\n", b.runs, 100 * b.contention.total());
            text += line;
        }
        if (b.samples < 300) text += "          fewer than 300 samples: p99 is little more than the slowest step\n";
    }
    std::snprintf(line, sizeof line, "first token after %.1f ms, prefill %.0f tokens/s\nmemory %s, %s of the %s/s that this machine reads now\n%s", r.time_to_first_token_ms, r.prefill_tps,
                  format_bytes(static_cast<double>(r.memory_bytes)).c_str(), format_percent(r.bandwidth_fraction).c_str(), format_bytes(r.read_bandwidth).c_str(), r.device.c_str());
    text += line;
    for (const auto& k : m.kernels()) text += " · " + k;
    return text;
}

std::string notes_text(const RunnableModel& m) {
    std::string text;
    for (const auto& note : m.notes) text += "\nnote: " + note;
    return text;
}

/// The model with the candidate's packed weights in place of its own.
Result<std::unique_ptr<model::Transformer>> load_candidate(const Context& ctx, const Options& o, const RunnableModel& m, const std::string& name) {
    TENPAK_ASSIGN(const quant::Candidate candidate, quant::find_candidate(name));
    if (candidate.method == quant::Method::kNone) return model::Transformer::load(m.source, {}, *m.backend, o.load, ctx.job);
    std::vector<model::Token> tokens;
    if (candidate.needs_calibration()) {
        if (o.calibration.empty()) {
            return make_error(ErrorCode::kInvalidArgument, "candidate " + name + " needs a calibration text", o.model, "Name one with --calibration FILE");
        }
        TENPAK_ASSIGN(tokens, read_tokens(*m.source, o.calibration));
    }
    TENPAK_ASSIGN(const auto quantized, quant::quantize(m.source, candidate, tokens, {}, *m.backend, ctx.job));
    return model::Transformer::load(m.source, quantized.weights, *m.backend, o.load, ctx.job);
}

OrderedJson contention_json(const evaluate::Contention& c) {
    if (!c.known) return nullptr;
    return {{"others", c.others}, {"stolen", c.stolen}};
}

/// Two models in turn: --versus names a candidate of the same model, or another model.
Result<int> compare(const Context& ctx, const Options& o, RunnableModel& m) {
    RunnableModel other;
    std::unique_ptr<model::Transformer> second;
    std::error_code ec;
    if (quant::find_candidate(o.versus).ok()) {
        TENPAK_ASSIGN(second, load_candidate(ctx, o, m, o.versus));
    } else if (std::filesystem::exists(o.versus, ec)) {
        TENPAK_ASSIGN(other, load_runnable(ctx, o.versus, o.base, o.device, o.threads, o.activations, o.load));
        second = std::move(other.transformer);
    } else {
        return make_error(ErrorCode::kInvalidArgument, "\"" + o.versus + "\" is neither a candidate nor a model", {}, "Name one with --versus, such as fp16 or a folder");
    }
    evaluate::AbOptions options;
    options.prompt = std::min(o.prompt, std::max(1u, std::min(m.transformer->config().max_positions, second->config().max_positions) / 2));
    if (o.generate != 0) options.steps = o.generate;
    if (!o.batches.empty()) options.batch = o.batches.front();
    options.pairs = std::max(6u, o.pairs);
    TENPAK_ASSIGN(const auto r, evaluate::compare_speed(*m.transformer, *second, options, ctx.job));
    const std::string a = o.candidate.empty() ? o.model : o.candidate;
    const std::string faster = r.faster == evaluate::Faster::kNeither ? "neither" : r.faster == evaluate::Faster::kA ? a : o.versus;
    char line[512];
    std::snprintf(line, sizeof line, "%s takes %.3f times as long a token as %s (95 %%: %.3f to %.3f; %u pairs of rounds, batch %u): %s\n%s p50 %.2f ms, %s p50 %.2f ms", a.c_str(), r.ratio,
                  o.versus.c_str(), r.low, r.high, r.pairs, options.batch, r.faster == evaluate::Faster::kNeither ? "no difference that can be told" : (faster + " is faster").c_str(), a.c_str(),
                  r.a_ms.p50, o.versus.c_str(), r.b_ms.p50);
    std::string text = line;
    if (r.repeated > 0) text += "\n" + std::to_string(r.repeated) + " pairs were run again, since other processes used the CPUs";
    if (r.noisy()) text += "\nnoisy: " + std::to_string(r.disturbed) + " of the pairs counted were disturbed";
    text += notes_text(m) + notes_text(other);
    print_result(ctx,
                 {{"a", a}, {"b", o.versus}, {"ratio", r.ratio}, {"low", r.low}, {"high", std::isfinite(r.high) ? OrderedJson(r.high) : OrderedJson()}, {"faster", faster}, {"pairs", r.pairs},
                  {"repeated", r.repeated}, {"disturbed", r.disturbed}, {"noisy", r.noisy()}, {"batch", options.batch}, {"prompt", options.prompt}, {"steps", options.steps},
                  {"a_latency_ms", percentiles_json(r.a_ms)}, {"b_latency_ms", percentiles_json(r.b_ms)}, {"contention", contention_json(r.contention)},
                  {"device", m.backend->description()}},
                 text);
    return 0;
}

Result<int> run(const Context& ctx, Options o) {
    for (const unsigned b : o.batches) o.load.workload.sequences = std::max(o.load.workload.sequences, b);
    o.load.workload.context = o.prompt + std::max(o.generate, 64u);
    const bool candidate = !o.candidate.empty() && o.candidate != "fp16";
    TENPAK_ASSIGN(RunnableModel m, load_runnable(ctx, o.model, o.base, o.device, o.threads, o.activations, o.load));
    if (candidate) {
        m.transformer.reset();  // two copies of the model would be needed otherwise
        m.notes.clear();        // its weights are replaced
        TENPAK_ASSIGN(m.transformer, load_candidate(ctx, o, m, o.candidate));
    }
    if (!o.versus.empty()) return compare(ctx, o, m);
    evaluate::TimingOptions options;
    options.prompt = std::min(o.prompt, std::max(1u, m.transformer->config().max_positions / 2));
    options.generate = o.generate;
    options.samples = o.samples;
    if (!o.batches.empty()) options.batches.assign(o.batches.begin(), o.batches.end());
    TENPAK_ASSIGN(const auto r, evaluate::measure_timing(*m.transformer, *m.backend, options, ctx.job));
    const auto& first = r.batches.front();
    OrderedJson batches = OrderedJson::array();
    for (const auto& b : r.batches) {
        batches.push_back({{"batch", b.batch}, {"latency_ms", percentiles_json(b.latency_ms)}, {"samples", b.samples}, {"decode_tps", b.decode_tps}, {"variation", b.variation},
                           {"runs", b.runs}, {"noisy", b.noisy}, {"contention", contention_json(b.contention)}});
    }
    print_result(ctx,
                 {{"latency_ms", percentiles_json(first.latency_ms)}, {"samples", first.samples}, {"time_to_first_token_ms", r.time_to_first_token_ms}, {"prefill_tps", r.prefill_tps},
                  {"decode_tps", first.decode_tps}, {"memory_bytes", r.memory_bytes}, {"bandwidth_fraction", r.bandwidth_fraction}, {"backend", r.backend}, {"device", r.device},
                  {"batch", first.batch}, {"prompt", options.prompt}, {"candidate", candidate ? o.candidate : "fp16"}, {"batches", std::move(batches)}, {"read_bandwidth", r.read_bandwidth},
                  {"resident_bytes", r.resident_bytes}, {"weight_bytes", m.transformer->weight_bytes()}, {"kernels", m.transformer->kernels()}, {"memory", m.transformer->memory_plan().note},
                  {"notes", m.notes}},
                 text_of(r, *m.transformer) + notes_text(m));
    return 0;
}

}  // namespace

void add_bench(CLI::App& app, Context& ctx) {
    auto* cmd = app.add_subcommand("bench", "Measure a model's latency, throughput and memory on this machine");
    auto o = std::make_shared<Options>();
    cmd->add_option("MODEL", o->model, "Model directory or .tnpk");
    auto endpoint = add_endpoint_options(*cmd, true);
    cmd->add_option("--base", o->base, "Base model, where MODEL is a delta");
    cmd->add_option("--candidate", o->candidate, "Quantize to this candidate first (default: the model as it is)");
    cmd->add_option("--calibration", o->calibration, "Text that awq and gptq candidates calibrate on");
    cmd->add_option("--prompt", o->prompt, "Tokens of the prompt (default 128, at most half of the context)")->check(CLI::Range(1u, 1u << 20));
    cmd->add_option("--generate", o->generate, "Tokens a round generates (default 64)")->check(CLI::Range(1u, 1u << 20));
    cmd->add_option("--samples", o->samples, "Decode steps to measure (p99 needs 300)")->check(CLI::Range(1u, 1000000u));
    cmd->add_option("--versus", o->versus, "Compare decoding speed with this candidate or model, in interleaved rounds")->type_name("CANDIDATE|MODEL");
    cmd->add_option("--pairs", o->pairs, "Pairs of rounds that --versus judges by (default 12)")->check(CLI::Range(6u, 10000u));
    cmd->add_option("--batch", o->batches, "Sequences at once; a list \"1,4,16\" measures each")->delimiter(',')->check(CLI::Range(1u, 1024u));
    cmd->add_option("--device", o->device, "cpu (default), cuda or cuda:N; tenpak worker --probe lists the GPUs");
    add_memory_limit(*cmd, o->load.memory_limit);
    cmd->add_option("--threads", o->threads, "Threads (default: all CPUs)")->check(CLI::Range(1u, 1024u));
    add_activations_option(*cmd, o->activations);
    cmd->callback([&ctx, o, endpoint] {
        if (o->model.empty() != endpoint->given()) throw CLI::ValidationError("bench", "needs a MODEL or an --endpoint, and one of them only");
        ctx.run = [&ctx, o, endpoint] { return endpoint->given() ? bench_endpoint(ctx, *endpoint, o->prompt, o->generate, o->samples) : run(ctx, *o); };
    });
}

}  // namespace tenpak::cli

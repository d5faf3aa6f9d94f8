// SPDX-License-Identifier: Apache-2.0
// One candidate measured on the CPU, inside the worker process.
#include <algorithm>
#include <cmath>

#include "core/base/file.h"
#include "core/compute/cpu/cpu_backend.h"
#include "core/evaluate/perplexity.h"
#include "core/evaluate/timing.h"
#include "core/jobs/model_opener.h"
#include "core/jobs/worker_session.h"
#include "core/model/tokenizer.h"
#include "core/model/transformer.h"
#include "core/quant/quantize.h"
#include "core/tensor/model_source.h"

namespace tenpak::jobs {
namespace {

constexpr std::uint64_t kMaxText = 1u << 30;

Result<std::vector<model::Token>> tokens_of(const model::Tokenizer& tokenizer, const std::string& path) {
    TENPAK_ASSIGN(const std::string text, read_text_file(path, kMaxText));
    return tokenizer.encode(text, false);
}

// Mean over the linears of each decoder layer.
std::vector<double> layer_errors(const std::vector<quant::LayerError>& errors) {
    std::vector<double> sum, count;
    for (const quant::LayerError& e : errors) {
        const int layer = tensor_place(e.name).layer;
        if (layer < 0 || layer > 100'000) continue;
        const auto i = static_cast<std::size_t>(layer);
        if (sum.size() <= i) {
            sum.resize(i + 1);
            count.resize(i + 1);
        }
        sum[i] += e.relative;
        count[i] += 1;
    }
    for (std::size_t i = 0; i < sum.size(); ++i) sum[i] = count[i] > 0 ? sum[i] / count[i] : optimizer::kUnknown;
    return sum;
}

void take(optimizer::Metrics& m, evaluate::PerplexityResult r) {
    m.perplexity = r.perplexity;
    m.eval_tokens = r.tokens;
    m.eval_windows = r.windows;
    m.eval_context = r.context;
    m.convention = std::move(r.convention);
    m.window_nll = std::move(r.window_nll);
    m.evaluate_seconds = r.seconds;
}

void take(optimizer::Metrics& m, const evaluate::TimingResult& r) {
    for (const evaluate::BatchTiming& b : r.batches) {
        optimizer::BatchPoint p;
        p.batch = b.batch;
        p.samples = b.samples;
        p.throughput_tps = b.decode_tps;
        p.variation = b.variation;
        if (b.samples > 0) {
            p.p50_ms = b.latency_ms.p50;
            p.p95_ms = b.latency_ms.p95;
            p.p99_ms = b.latency_ms.p99;
        }
        if (b.samples < optimizer::kMinP99Samples) {
            p.p99_ms = optimizer::kUnknown;
            m.notes.push_back("batch " + std::to_string(b.batch) + ": " + std::to_string(b.samples) + " samples in the time given, too few for a p99");
        }
        m.batches.push_back(p);
    }
    std::sort(m.batches.begin(), m.batches.end(), [](const auto& a, const auto& b) { return a.batch < b.batch; });
    m.time_to_first_token_ms = r.time_to_first_token_ms;
    m.prefill_tps = r.prefill_tps;
    m.bandwidth_fraction = r.bandwidth_fraction;
    m.memory_bytes = r.memory_bytes;
}

}  // namespace

Result<optimizer::Trial> run_cpu_trial(const StartMessage& start, WorkerSession& session) {
    const SweepSpec& spec = start.spec;
    const JobContext ctx = session.context();
    session.report("load", 0);
    TENPAK_ASSIGN(const quant::Candidate candidate, quant::find_candidate(start.candidate));
    TENPAK_ASSIGN(const std::shared_ptr<const ModelSource> source, open_sweep_model(spec.model_path, spec.base_path));
    TENPAK_ASSIGN(const auto tokenizer, model::load_tokenizer(*source));
    const auto backend = compute::make_cpu_backend();

    optimizer::Trial trial;
    trial.id = trial.candidate = start.candidate;
    trial.status = optimizer::TrialStatus::kDone;
    optimizer::Metrics& m = trial.metrics;
    compute::WeightOverrides overrides;
    if (candidate.method == quant::Method::kNone) {
        m.stored_bytes = source->parameters() * 2;
        m.compression = 1;
        m.bits_per_weight = 16;
        m.quantize_seconds = 0;
    } else {
        session.report("quantize", 0);
        std::vector<model::Token> calibration;
        if (!spec.calibration_path.empty()) {
            TENPAK_ASSIGN(calibration, tokens_of(*tokenizer, spec.calibration_path));
        }
        TENPAK_ASSIGN(quant::QuantizedModel q, quant::quantize(source, candidate, calibration, {}, *backend, ctx));
        m.stored_bytes = q.stored_bytes;
        m.compression = q.stored_bytes > 0 ? static_cast<double>(q.baseline_bytes) / static_cast<double>(q.stored_bytes) : optimizer::kUnknown;
        m.bits_per_weight = q.bits_per_weight;
        m.layer_error = layer_errors(q.errors);
        m.notes = q.notes;
        m.quantize_seconds = q.seconds;
        overrides = std::move(q.weights);
        session.report("load", 0.5);
    }
    TENPAK_ASSIGN(const auto model, model::Transformer::load(source, overrides, *backend, {}, ctx));
    overrides = {};
    m.kernels = model->kernels();

    session.report("perplexity", 0);
    {
        TENPAK_ASSIGN(const auto text, tokens_of(*tokenizer, spec.text_path));
        evaluate::PerplexityOptions options;
        options.context = spec.context;
        options.max_windows = spec.eval_samples;
        TENPAK_ASSIGN(evaluate::PerplexityResult r, evaluate::perplexity(*model, text, options, ctx));
        take(m, std::move(r));
    }

    session.report("timing", 0);
    evaluate::TimingOptions timing;
    timing.batches = spec.batches;
    timing.samples = std::max<std::uint64_t>(spec.timing_samples, optimizer::kMinP99Samples);
    timing.max_seconds = spec.timing_seconds;
    const std::uint32_t positions = model->config().max_positions;
    if (positions > 0 && timing.prompt > positions / 2) timing.prompt = std::max(1u, positions / 2);
    const auto began = std::chrono::steady_clock::now();
    // Each batch size counts its steps from 0.
    JobContext timing_ctx = ctx;
    std::uint64_t last = 0, batch = 0;
    timing_ctx.on_progress = [&](const Progress& p) {
        if (p.done < last) ++batch;
        last = p.done;
        const double part = p.total > 0 ? static_cast<double>(p.done) / static_cast<double>(p.total) : 0;
        session.report("timing", (static_cast<double>(batch) + part) / static_cast<double>(timing.batches.size()));
    };
    TENPAK_ASSIGN(const evaluate::TimingResult r, evaluate::measure_timing(*model, *backend, timing, timing_ctx));
    take(m, r);
    m.timing_seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - began).count();
    trial.device = r.device.empty() ? backend->description() : r.device;
    return trial;
}

}  // namespace tenpak::jobs

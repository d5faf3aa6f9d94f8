// SPDX-License-Identifier: Apache-2.0
// One candidate measured on the CPU or a GPU, inside the worker process.
#include <algorithm>
#include <chrono>
#include <cmath>
#include <optional>

#include "core/base/file.h"
#include "core/compute/devices.h"
#include "core/evaluate/ab_timing.h"
#include "core/evaluate/multiple_choice.h"
#include "core/evaluate/perplexity.h"
#include "core/evaluate/timing.h"
#include "core/jobs/model_opener.h"
#include "core/jobs/worker_session.h"
#include "core/model/config.h"
#include "core/model/tokenizer.h"
#include "core/model/transformer.h"
#include "core/quant/calibration_text.h"
#include "core/quant/export_layout.h"
#include "core/quant/layouts/gguf_import.h"
#include "core/quant/quantize.h"
#include "core/tensor/model_source.h"

namespace tenpak::jobs {
namespace {

constexpr std::uint64_t kMaxText = 1u << 30;
constexpr std::uint32_t kDecodePositions = 64;  // of a round of timing

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
        if (b.noisy) {
            m.noisy = true;
            m.notes.push_back("batch " + std::to_string(b.batch) + ": noisy even in the quietest of " + std::to_string(b.runs) + " runs");
        }
        m.batches.push_back(p);
    }
    std::sort(m.batches.begin(), m.batches.end(), [](const auto& a, const auto& b) { return a.batch < b.batch; });
    m.time_to_first_token_ms = r.time_to_first_token_ms;
    m.prefill_tps = r.prefill_tps;
    m.bandwidth_fraction = r.bandwidth_fraction;
    m.memory_bytes = r.memory_bytes;
}

class ModelTrial {
   public:
    ModelTrial(const StartMessage& start, WorkerSession& session) : start_(start), spec_(start.spec), session_(session), ctx_(session.context()) {}

    Result<optimizer::Trial> run() {
        const auto began = std::chrono::steady_clock::now();
        session_.report("load", 0);
        const auto import = std::find_if(spec_.imports.begin(), spec_.imports.end(), [&](const ImportedModel& m) { return m.name == start_.candidate; });
        quant::Candidate candidate;
        if (import == spec_.imports.end()) {
            TENPAK_ASSIGN(candidate, quant::find_candidate(start_.candidate));
        }
        TENPAK_ASSIGN(source_, open_sweep_model(spec_.model_path, spec_.base_path));
        TENPAK_ASSIGN(tokenizer_, model::load_tokenizer(*source_));
        TENPAK_ASSIGN(backend_, compute::make_backend(spec_.backend));
        trial_.id = trial_.candidate = start_.candidate;
        trial_.status = optimizer::TrialStatus::kDone;
        baseline_ = import == spec_.imports.end() && !candidate.lossy();
        TENPAK_ASSIGN(const std::string text, read_text_file(spec_.text_path, kMaxText));
        TENPAK_ASSIGN(text_, tokenizer_->encode(spec_.split_text ? quant::split_text(text).evaluation : std::string_view(text), false));
        TENPAK_ASSIGN(const model::ModelConfig config, model::read_config(*source_));
        load_options_ = load_options(config);
        if (!baseline_) TENPAK_RETURN_IF_ERROR(ensure_reference());
        TENPAK_RETURN_IF_ERROR(import == spec_.imports.end() ? load(candidate) : load_import(*import));
        TENPAK_RETURN_IF_ERROR(measure_text());
        TENPAK_RETURN_IF_ERROR(measure_tasks());
        TENPAK_RETURN_IF_ERROR(measure_timing());
        if (!baseline_) TENPAK_RETURN_IF_ERROR(compare_with_fp16());
        trial_.metrics.total_seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - began).count();
        return std::move(trial_);
    }

   private:
    /// What the model is loaded for: sizes what is checked against the memory that is free before anything is read.
    model::LoadOptions load_options(const model::ModelConfig& config) const {
        model::LoadOptions options;
        const std::uint32_t prompt = prompt_for(config.max_positions);
        options.workload.sequences = *std::max_element(spec_.batches.begin(), spec_.batches.end());
        options.workload.context = std::max(prompt + kDecodePositions, spec_.context);
        options.workload.batch_tokens = std::max({options.workload.batch_tokens, prompt, spec_.context});
        return options;
    }

    evaluate::PerplexityOptions perplexity_options() const {
        evaluate::PerplexityOptions options;
        options.context = spec_.context;
        options.max_windows = spec_.eval_samples;
        return options;
    }

    /// fp16's trial leaves its predictions; where its result was known already, they are made here.
    Status ensure_reference() {
        std::error_code ec;
        if (start_.reference.empty() || evaluate::ReferenceReader::open(start_.reference).ok()) return {};
        std::filesystem::remove(start_.reference, ec);
        TENPAK_ASSIGN(const auto fp16, model::Transformer::load(source_, {}, *backend_, load_options_, ctx_));
        // A full disk, say, is no reason to lose the trial: measure_text() finds no reference and says so.
        const auto kept = evaluate::perplexity_and_keep(*fp16, text_, perplexity_options(), start_.reference, spec_.model_path, ctx_);
        return kept.ok() ? Status() : ctx_.check();
    }

    Status load(const quant::Candidate& candidate) {
        optimizer::Metrics& m = trial_.metrics;
        compute::WeightOverrides overrides;
        if (baseline_) {
            m.stored_bytes = source_->parameters() * 2;
            m.compression = 1;
            m.bits_per_weight = 16;
            m.quantize_seconds = 0;
        } else {
            session_.report("quantize", 0);
            std::vector<model::Token> calibration;
            if (spec_.split_text) {
                TENPAK_ASSIGN(const std::string text, read_text_file(spec_.text_path, kMaxText));
                TENPAK_ASSIGN(calibration, tokenizer_->encode(quant::split_text(text).calibration, false));
            } else if (!spec_.calibration_path.empty()) {
                TENPAK_ASSIGN(calibration, tokens_of(*tokenizer_, spec_.calibration_path));
            }
            TENPAK_ASSIGN(quant::QuantizedModel q, quantized(candidate, calibration));
            m.stored_bytes = q.stored_bytes;
            m.compression = q.stored_bytes > 0 ? static_cast<double>(q.baseline_bytes) / static_cast<double>(q.stored_bytes) : optimizer::kUnknown;
            m.bits_per_weight = q.bits_per_weight;
            m.layer_error = layer_errors(q.errors);
            m.notes.insert(m.notes.end(), q.notes.begin(), q.notes.end());
            m.quantize_seconds = q.seconds;
            overrides = std::move(q.weights);
            session_.report("load", 0.5);
        }
        TENPAK_ASSIGN(model_, model::Transformer::load(source_, overrides, *backend_, load_options_, ctx_));
        m.kernels = model_->kernels();
        if (!model_->memory_plan().note.empty()) m.notes.push_back(model_->memory_plan().note);
        return {};
    }

    /// The first trial that needs calibration makes the layers of all that do, in one pass; the others find theirs on disk.
    Result<quant::QuantizedModel> quantized(const quant::Candidate& candidate, const std::vector<model::Token>& calibration) {
        if (!candidate.needs_calibration() || start_.checkpoints.empty()) return quant::quantize(source_, candidate, calibration, {}, *backend_, ctx_);
        quant::QuantizeManyOptions options;
        options.checkpoints = start_.checkpoints;
        auto kept = quant::load_checkpoint(source_, candidate, calibration, options, *backend_, ctx_);
        if (kept.ok() || kept.error().code == ErrorCode::kCancelled) return kept;
        std::vector<quant::Candidate> all;
        for (const std::string& name : spec_.candidates) {
            const auto c = quant::find_candidate(name);
            if (c.ok() && c->needs_calibration()) all.push_back(*c);
        }
        std::optional<quant::QuantizedModel> mine;
        const auto take = [&](quant::QuantizedModel m) -> Status {
            if (m.candidate.name == candidate.name) mine = std::move(m);
            return {};
        };
        const Status made = quant::quantize_many(source_, all, calibration, options, *backend_, ctx_, take);
        if (mine) return std::move(*mine);
        TENPAK_RETURN_IF_ERROR(ctx_.check());
        // Another candidate's failure, or a full disk, is no reason to lose this one.
        if (!made.ok()) trial_.metrics.notes.push_back("quantized by itself: " + made.error().text());
        return quant::quantize(source_, candidate, calibration, {}, *backend_, ctx_);
    }

    /// A model that was quantized elsewhere, from its own files.
    Status load_import(const ImportedModel& import) {
        session_.report("load", 0);
        optimizer::Metrics& m = trial_.metrics;
        TENPAK_ASSIGN(imported_, open_sweep_model(import.path, {}));
        TENPAK_ASSIGN(const auto overrides, quant::import_quantized(*imported_, ctx_));
        const quant::StoredSize size = quant::stored_size(*source_, overrides);
        m.stored_bytes = size.bytes;
        m.compression = static_cast<double>(size.baseline_bytes) / static_cast<double>(std::max<std::uint64_t>(size.bytes, 1));
        m.bits_per_weight = size.bits_per_weight;
        m.notes.push_back("imported from " + import.path);
        for (std::string& note : quant::gguf_import_notes(*imported_, overrides)) m.notes.push_back(std::move(note));
        TENPAK_ASSIGN(model_, model::Transformer::load(imported_, overrides, *backend_, load_options_, ctx_));
        m.kernels = model_->kernels();
        if (!model_->memory_plan().note.empty()) m.notes.push_back(model_->memory_plan().note);
        return {};
    }

    Status measure_text() {
        session_.report("perplexity", 0);
        optimizer::Metrics& m = trial_.metrics;
        if (start_.reference.empty()) {
            TENPAK_ASSIGN(evaluate::PerplexityResult r, evaluate::perplexity(*model_, text_, perplexity_options(), ctx_));
            take(m, std::move(r));
        } else if (baseline_) {
            TENPAK_ASSIGN(evaluate::PerplexityResult r, evaluate::perplexity_and_keep(*model_, text_, perplexity_options(), start_.reference, spec_.model_path, ctx_));
            take(m, std::move(r));
            m.kl_divergence = 0;
            m.top1_agreement = 1;
        } else {
            auto reference = evaluate::ReferenceReader::open(start_.reference);
            if (!reference.ok()) {  // a full disk, say: no reason to lose the rest
                m.notes.push_back("divergence from fp16 not measured: " + reference.error().text());
                TENPAK_ASSIGN(evaluate::PerplexityResult r, evaluate::perplexity(*model_, text_, perplexity_options(), ctx_));
                take(m, std::move(r));
                return {};
            }
            TENPAK_ASSIGN(evaluate::Comparison c, evaluate::compare(*model_, *reference, text_, perplexity_options(), ctx_));
            m.kl_divergence = c.agreement.kl_divergence;
            m.top1_agreement = c.agreement.top1_agreement;
            take(m, std::move(c.candidate));
        }
        return {};
    }

    Status measure_tasks() {
        if (spec_.tasks_path.empty()) return {};
        session_.report("accuracy", 0);
        TENPAK_ASSIGN(const auto items, evaluate::read_choice_items(spec_.tasks_path));
        TENPAK_ASSIGN(const auto r, evaluate::task_accuracy(*model_, *tokenizer_, items, {}, ctx_));
        trial_.metrics.accuracy = r.accuracy;
        trial_.metrics.accuracy_error = r.standard_error;
        trial_.metrics.accuracy_items = r.items;
        return {};
    }

    Status measure_timing() {
        session_.report("timing", 0);
        evaluate::TimingOptions timing;
        timing.batches = spec_.batches;
        timing.samples = std::max<std::uint64_t>(spec_.timing_samples, optimizer::kMinP99Samples);
        timing.max_seconds = spec_.timing_seconds;
        timing.prompt = prompt_ = prompt_for(model_->config().max_positions);
        const auto began = std::chrono::steady_clock::now();
        // Each batch size counts its steps from 0.
        JobContext timing_ctx = ctx_;
        std::uint64_t last = 0, batch = 0;
        timing_ctx.on_progress = [&](const Progress& p) {
            if (p.done < last) ++batch;
            last = p.done;
            const double part = p.total > 0 ? static_cast<double>(p.done) / static_cast<double>(p.total) : 0;
            session_.report("timing", (static_cast<double>(batch) + part) / static_cast<double>(timing.batches.size()));
        };
        TENPAK_ASSIGN(const evaluate::TimingResult r, evaluate::measure_timing(*model_, *backend_, timing, timing_ctx));
        take(trial_.metrics, r);
        trial_.metrics.timing_seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - began).count();
        trial_.device = r.device.empty() ? backend_->description() : r.device;
        return {};
    }

    /// fp16 and the candidate in turn, so that the ratio of their speeds is of one and the same moment.
    Status compare_with_fp16() {
        optimizer::Metrics& m = trial_.metrics;
        const std::uint64_t second = source_->parameters() * 2;
        if (const std::uint64_t free = backend_->free_memory(); free > 0 && 2 * second > free) {  // as much again stays free
            m.notes.push_back("speed beside fp16 not measured: both do not fit in memory together");
            return {};
        }
        TENPAK_ASSIGN(const auto fp16, model::Transformer::load(source_, {}, *backend_, load_options_, ctx_));
        evaluate::AbOptions options;
        options.prompt = prompt_;
        options.batch = *std::max_element(spec_.batches.begin(), spec_.batches.end());
        options.steps = std::min<std::uint32_t>(options.steps, std::max(1u, model_->config().max_positions - prompt_));
        TENPAK_ASSIGN(const evaluate::AbResult r, evaluate::compare_speed(*fp16, *model_, options, ctx_));
        m.speed_vs_fp16 = r.ratio;
        m.speed_vs_fp16_low = r.low;
        m.speed_vs_fp16_high = r.high;
        if (r.noisy()) m.notes.push_back("speed beside fp16: " + std::to_string(r.disturbed) + " of " + std::to_string(r.pairs) + " pairs of rounds were disturbed by other processes");
        return {};
    }

    static std::uint32_t prompt_for(std::uint32_t positions) {
        const std::uint32_t usual = evaluate::TimingOptions().prompt;
        return positions > 0 && usual > positions / 2 ? std::max(1u, positions / 2) : usual;
    }

    const StartMessage& start_;
    const SweepSpec& spec_;
    WorkerSession& session_;
    JobContext ctx_;
    std::shared_ptr<const ModelSource> source_, imported_;
    std::shared_ptr<const model::Tokenizer> tokenizer_;
    std::unique_ptr<compute::Backend> backend_;
    std::unique_ptr<model::Transformer> model_;  // after backend_: it must be destroyed first
    std::vector<model::Token> text_;
    optimizer::Trial trial_;
    bool baseline_ = false;
    std::uint32_t prompt_ = 0;
    model::LoadOptions load_options_;
};

}  // namespace

Result<optimizer::Trial> run_model_trial(const StartMessage& start, WorkerSession& session) {
    return ModelTrial(start, session).run();
}

}  // namespace tenpak::jobs

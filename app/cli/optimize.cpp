// SPDX-License-Identifier: Apache-2.0
// `tenpak optimize`: runs the sweep's missing trials, judges all of them, names the cheapest that meets the limits.
#include <algorithm>
#include <cmath>

#include "app/cli/command.h"
#include "app/cli/optimize_report.h"
#include "core/compute/cpu/cpu_backend.h"
#include "core/compute/cuda/cuda_backend.h"
#include "core/jobs/worker.h"
#include "core/jobs/job_store.h"
#include "core/jobs/recorded_sweep.h"
#include "core/jobs/sweep.h"
#include "core/optimizer/prices.h"
#include "core/quant/candidate.h"

namespace tenpak::cli {
namespace {

using optimizer::Trial;
using optimizer::TrialStatus;

constexpr double kDefaultPplDelta = 2;  // percent: what a 4-bit method of today costs on a usual model

struct Options {
    std::string model, base, text, calibration, tasks, candidates, hardware, executor = "local", store, record, backend = "cpu", device;
    bool candidates_given = false, fresh = false, split_text = false;
    optimizer::Limits limits;
    std::vector<std::string> imports;
    std::uint32_t eval_samples = 0, context = 0, batch = 8;
    double heartbeat_timeout = 30;
};

// Batch sizes 1, 2, 4, … up to the largest asked for, and that one.
std::vector<std::uint32_t> batches_up_to(std::uint32_t largest) {
    std::vector<std::uint32_t> b;
    for (std::uint32_t n = 1; n < largest; n *= 2) b.push_back(n);
    b.push_back(largest);
    return b;
}

Status check(Options& o) {
    const auto bad = [](const std::string& what, const std::string& hint) { return make_error(ErrorCode::kInvalidArgument, what, {}, hint); };
    if (o.executor != "local") return bad("the executor \"" + o.executor + "\" is not built yet", "Use --executor local");
    if (o.candidates_given && o.candidates.empty()) return bad("the candidate list is empty", "Name at least one candidate, or leave --candidates out");
    if (o.batch < 1 || o.batch > 1024) return bad("--batch must be from 1 to 1024", {});
    const auto finite = [](const std::optional<double>& v) { return !v || std::isfinite(*v); };
    const auto positive = [&](const std::optional<double>& v) { return finite(v) && (!v || *v > 0); };
    if (!finite(o.limits.max_ppl_delta) || !finite(o.limits.min_accuracy) || !positive(o.limits.max_latency_p99_ms) || !positive(o.limits.min_throughput_tps) ||
        !positive(o.limits.max_memory_mb)) {
        return bad("a limit must be a finite number, and positive for latency, throughput and memory", {});
    }
    return {};
}

/// A GPU is asked for in a worker process; without --device it is taken where the probe's self-test passed.
Status choose_device(const Options& o, const Context& ctx, jobs::SweepSpec& spec) {
    if (o.device == "cpu" || o.backend != "cpu") return {};
    if (!o.device.empty() && !compute::is_cuda_device(o.device)) {
        return make_error(ErrorCode::kInvalidArgument, "\"" + o.device + "\" is not a device", {}, "Use --device cpu, cuda or cuda:N");
    }
    TENPAK_ASSIGN(const int index, compute::cuda_device_index(o.device.empty() ? "cuda" : o.device));
    const auto hardware = jobs::probe_hardware(ctx.program);
    if (!hardware.ok() || !hardware->gpu) {
        if (o.device.empty()) return {};
        if (!hardware.ok()) return hardware.error();
        // The probe's reason is worded for a program that goes on without a GPU; here one was asked for.
        return make_error(ErrorCode::kUnsupported, hardware->gpu_reason.substr(0, hardware->gpu_reason.rfind(": running on the CPU")), {}, "Use --device cpu");
    }
    if (static_cast<std::size_t>(index) >= hardware->gpus.size()) {
        return make_error(ErrorCode::kInvalidArgument, "there is no GPU " + std::to_string(index), {}, "tenpak worker --probe lists them");
    }
    spec.backend = "cuda:" + std::to_string(index);
    spec.device = hardware->gpus[static_cast<std::size_t>(index)].name;
    return {};
}

Result<jobs::SweepSpec> make_spec(const Options& o, const Context& ctx) {
    jobs::SweepSpec spec;
    spec.model_path = o.model;
    spec.base_path = o.base;
    spec.text_path = o.text;
    spec.calibration_path = o.calibration;
    spec.split_text = o.split_text;
    spec.tasks_path = o.tasks;
    spec.eval_samples = o.eval_samples;
    spec.context = o.context;
    spec.batches = batches_up_to(o.batch);
    spec.backend = o.backend;
    TENPAK_RETURN_IF_ERROR(choose_device(o, ctx, spec));
    TENPAK_ASSIGN(const auto candidates, quant::parse_candidates(o.candidates));
    for (const quant::Candidate& c : candidates) spec.candidates.push_back(c.name);
    for (const std::string& path : o.imports) spec.imports.push_back({{}, path, {}});
    return jobs::prepare_sweep(std::move(spec));
}

std::string one_line(const Trial& t) {
    if (t.status == TrialStatus::kFailed) return t.candidate + ": failed: " + t.error;
    char s[200];
    std::snprintf(s, sizeof s, "%s: perplexity %.4g (%+.2f %%)%s", t.candidate.c_str(), t.metrics.perplexity, t.metrics.ppl_delta,
                  t.provenance == optimizer::Provenance::kRecorded ? ", recorded" : "");
    return s;
}

// Progress and one line a finished trial.
class Watcher {
   public:
    explicit Watcher(const Context& ctx) : ctx_(ctx) {}
    void operator()(const Trial& t) {
        if (t.status == TrialStatus::kRunning) {
            running_ = true;
            ctx_.job.report({t.candidate + ", " + (t.phase.empty() ? "start" : t.phase), static_cast<std::uint64_t>(t.fraction * 1000), 1000, "permille", {}});
        } else if (t.status != TrialStatus::kQueued && running_) {
            print_note(ctx_, one_line(t));
        }
    }

   private:
    const Context& ctx_;
    bool running_ = false;  ///< what came before the first run was known already
};

Result<std::string> find_or_create(jobs::JobStore& store, const jobs::SweepSpec& spec, const Options& o, const std::string& hardware, const Context& ctx) {
    if (!o.fresh) {
        TENPAK_ASSIGN(const auto unfinished, store.find_unfinished(jobs::sweep_spec_json(spec)));
        if (unfinished) {
            TENPAK_ASSIGN(const auto trials, store.trials(*unfinished));
            const auto done = std::count_if(trials.begin(), trials.end(), [](const Trial& t) { return t.status == TrialStatus::kDone; });
            print_note(ctx, "Going on with job " + *unfinished + ": " + std::to_string(done) + " of " + std::to_string(trials.size()) + " candidates are measured");
            TENPAK_RETURN_IF_ERROR(store.set_limits(*unfinished, o.limits));
            return *unfinished;
        }
    }
    return store.create_job(jobs::make_sweep_job(spec, o.limits, hardware), spec.candidates);
}

// Speed differences between candidates come from reading fewer bytes: where everything is in the cache there are none.
void note_cache(OptimizeReport& r) {
    const compute::CpuFeatures& cpu = compute::cpu_features();
    const std::uint64_t cache = cpu.l2_bytes + cpu.l3_bytes;
    for (const Trial& t : r.trials) {
        if (t.candidate != "fp16" || t.metrics.stored_bytes == 0 || t.metrics.stored_bytes > cache) continue;
        r.notes.push_back("the model's weights (" + format_bytes(static_cast<double>(t.metrics.stored_bytes)) + ") fit this CPU's cache (" +
                          format_bytes(static_cast<double>(cache)) + "): its speed ranking is mostly overhead and says little about large models");
    }
}

Status record(const Options& o, const OptimizeReport& r) {
    if (o.record.empty()) return {};
    jobs::RecordedSweep sweep;
    sweep.spec = r.spec;
    sweep.limits = r.limits;
    sweep.hardware = r.price.id;
    sweep.trials = r.trials;
    return jobs::save_recorded_sweep(o.record, std::move(sweep));
}

Result<int> conclude(const Options& o, const OptimizeReport& r, const Context& ctx) {
    TENPAK_RETURN_IF_ERROR(record(o, r));
    const bool any_done = std::any_of(r.trials.begin(), r.trials.end(), [](const Trial& t) { return t.status == TrialStatus::kDone; });
    print_result(ctx, optimize_json(r), optimize_text(r));
    if (r.judgement.winner) return 0;
    if (!any_done) {
        const Trial& t = r.trials.front();
        std::fprintf(stderr, "tenpak: error[%s]: no candidate could be measured. %s: %s\n", t.error_code.empty() ? "internal" : t.error_code.c_str(), t.candidate.c_str(), t.error.c_str());
        return 1;
    }
    std::fprintf(stderr, "tenpak: error[%s]: no candidate meets the limits\n%s", error_code_name(ErrorCode::kNoCandidate), no_winner_text(r).c_str());
    return exit_code(ErrorCode::kNoCandidate);
}

Result<int> run(Options o, const Context& ctx) {
    TENPAK_RETURN_IF_ERROR(check(o));
    OptimizeReport r;
    r.default_limits = o.limits == optimizer::Limits();
    if (r.default_limits) {
        o.limits.max_ppl_delta = kDefaultPplDelta;
    }
    r.limits = o.limits;
    TENPAK_ASSIGN(const auto prices, optimizer::load_price_table());
    TENPAK_ASSIGN(r.price, optimizer::find_price(prices, o.hardware));
    r.stale_price = optimizer::price_is_stale(r.price, optimizer::today_utc());
    TENPAK_ASSIGN(r.spec, make_spec(o, ctx));
    if (r.default_limits) print_note(ctx, "No limit given: perplexity may rise by 2 % (--max-ppl-delta 2)");
    if (r.stale_price) print_note(ctx, "The price of " + r.price.id + " is of " + r.price.date + ", more than 90 days old");
    const std::filesystem::path store_path = o.store.empty() ? jobs::JobStore::default_directory() / jobs::JobStore::kFileName : std::filesystem::path(o.store);
    TENPAK_ASSIGN(const auto store, jobs::JobStore::open(store_path));
    TENPAK_ASSIGN(r.job_id, find_or_create(*store, r.spec, o, r.price.id, ctx));

    jobs::SweepOptions options;
    options.worker_program = ctx.program;
    options.fresh = o.fresh;
    options.reference_directory = store_path.parent_path().empty() ? std::filesystem::path(".") : store_path.parent_path();
    options.heartbeat_timeout_s = o.heartbeat_timeout;
    Watcher watcher(ctx);
    const Status s = jobs::run_sweep(*store, r.job_id, options, [&](const Trial& t) { watcher(t); }, ctx.job);
    if (!s.ok()) {
        if (s.error().code != ErrorCode::kCancelled) return s.error();
        Error e = s.error();
        e.where = "job " + r.job_id;
        e.hint = "What is measured is kept: the same command goes on";
        return e;
    }
    r.status = jobs::job_status_name(jobs::JobStatus::kDone);
    TENPAK_ASSIGN(r.trials, store->trials(r.job_id));
    note_cache(r);
    r.judgement = optimizer::judge(r.trials, r.limits, r.price.usd_per_hour);
    return conclude(o, r, ctx);
}

}  // namespace

void add_optimize(CLI::App& app, Context& ctx) {
    auto o = std::make_shared<Options>();
    CLI::App* c = app.add_subcommand("optimize", "Measure quantization candidates of a model here and name the cheapest that meets your limits");
    c->add_option("model", o->model, "Model: a folder in Hugging Face layout, or a .tnpk")->required()->type_name("MODEL");
    c->add_option("--base", o->base, "Base model, where MODEL is a delta: nothing is rebuilt on disk")->type_name("BASE");
    c->add_option("--text", o->text, "Text to measure perplexity on (default: what the model brings in text/)")->type_name("FILE");
    c->add_option("--calibration", o->calibration, "Text to calibrate AWQ and GPTQ with; another one than --text")->type_name("FILE");
    c->add_flag("--split-text", o->split_text, "Calibrate on the first four fifths of the text and measure on the rest, where there is no other text to calibrate with");
    c->add_option("--tasks", o->tasks, "Multiple-choice items to measure accuracy on, JSONL (default: what the model brings in text/)")->type_name("FILE.jsonl");
    c->add_option("--max-ppl-delta", o->limits.max_ppl_delta, "Perplexity may rise by so many percent over fp16; the upper end of the 95 % interval counts")->type_name("PCT");
    c->add_option("--max-latency-p99-ms", o->limits.max_latency_p99_ms, "Longest p99 of the time between two tokens")->type_name("MS");
    c->add_option("--min-throughput-tps", o->limits.min_throughput_tps, "Least generated tokens per second over the whole batch")->type_name("N");
    c->add_option("--max-memory-mb", o->limits.max_memory_mb, "Most memory of weights, KV cache and workspace (10^6 bytes)")->type_name("MB");
    c->add_option("--min-accuracy", o->limits.min_accuracy, "Least accuracy on the multiple-choice items, length-normalized")->type_name("PCT");
    c->add_option("--candidates", o->candidates, "Comma-separated; known: " + quant::known_candidate_names())->type_name("A,B,…")->each([o](const std::string&) {
        o->candidates_given = true;
    });
    c->add_option("--import", o->imports, "A model that is quantized already (AWQ, GPTQ, compressed-tensors, bitsandbytes, GGUF), to be measured beside the candidates; may be repeated")->type_name("DIR");
    c->add_option("--eval-samples", o->eval_samples, "Windows of text to measure perplexity on (default 128)")->type_name("N");
    c->add_option("--context", o->context, "Tokens of a window (default 256)")->type_name("N");
    c->add_option("--batch", o->batch, "Largest batch to time; 1, 2, 4 … up to it are measured (default 8)")->type_name("N");
    c->add_option("--hardware", o->hardware, "Row of the price table to reckon costs with (default: the local one)")->type_name("H");
    c->add_option("--device", o->device, "cpu, cuda or cuda:N (default: a GPU where tenpak worker --probe finds one)")->type_name("D");
    c->add_option("--executor", o->executor, "Where trials run: local")->type_name("E");
    c->add_option("--store", o->store, "Job store to use (default: jobs.sqlite in the data folder)")->type_name("FILE");
    c->add_flag("--fresh", o->fresh, "Measure everything anew, also what is measured already");
    c->add_option("--record", o->record, "Also write the sweep to a file that the studio shows as recorded")->type_name("FILE.json");
    c->add_option("--backend", o->backend)->group("");             // "fake:SCRIPT" in tests
    c->add_option("--heartbeat-timeout", o->heartbeat_timeout)->group("");
    c->callback([o, &ctx] { ctx.run = [o, &ctx] { return run(*o, ctx); }; });
}

}  // namespace tenpak::cli

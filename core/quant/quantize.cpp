// SPDX-License-Identifier: Apache-2.0
#include "core/quant/quantize.h"

#include <algorithm>
#include <chrono>
#include <map>
#include <new>

#include "core/base/json.h"
#include "core/quant/calibration.h"
#include "core/quant/checkpoint.h"
#include "core/quant/mixed/search.h"
#include "core/quant/quantizer.h"
#include "core/quant/sequential.h"

namespace tenpak::quant {
namespace {

using Clock = std::chrono::steady_clock;
double seconds_since(Clock::time_point begin) { return std::chrono::duration<double>(Clock::now() - begin).count(); }

// Tensors that got another group than the candidate's, one note for each width.
void note_groups(QuantizedModel& r) {
    const std::uint32_t wanted = r.candidate.group;
    if (wanted == 0) return;
    std::map<std::pair<std::uint32_t, std::uint32_t>, int> odd;  // (k, group) -> tensors
    for (const LayerError& e : r.errors) {
        if (e.group != wanted) ++odd[{r.weights.linears.at(e.name).k, e.group}];
    }
    for (const auto& [key, count] : odd) {
        r.notes.push_back("group " + std::to_string(key.second) + " instead of " + std::to_string(wanted) + " for " + std::to_string(count) +
                          (count == 1 ? " tensor: " : " tensors: ") + std::to_string(key.first) + " is not a multiple of " + std::to_string(wanted));
    }
}

Status refuse_quantized(const ModelSource& source) {
    const std::string where = source.id() + "/config.json";
    TENPAK_ASSIGN(const Bytes raw, source.read_side_file("config.json"));
    TENPAK_ASSIGN(const Json config, parse_json(as_text(raw), where));
    if (config.is_object() && !config.value("quantization_config", Json()).is_null()) {
        return make_error(ErrorCode::kUnsupported, "the model is quantized already", where, "Start from the 16-bit model");
    }
    return {};
}

Status check_candidate(const Candidate& c) {
    if (c.format == compute::WeightFormat::kInt4Group && (c.bits < 2 || c.bits > 4)) {
        return make_error(ErrorCode::kUnsupported, "4-bit groups hold codes of 2 to 4 bits", c.name);
    }
    return {};
}

// Puts a layer's part behind those that are there.
void append(QuantizedModel& to, QuantizedModel part) {
    to.weights.linears.merge(part.weights.linears);
    to.weights.vectors.merge(part.weights.vectors);
    to.errors.insert(to.errors.end(), std::make_move_iterator(part.errors.begin()), std::make_move_iterator(part.errors.end()));
    for (std::string& n : part.notes) {
        if (std::find(to.notes.begin(), to.notes.end(), n) == to.notes.end()) to.notes.push_back(std::move(n));
    }
}

std::string plan_fingerprint(const std::string& candidate, const MixedPlan& plan) {
    std::string all = candidate;
    for (const auto& [linear, c] : plan.formats) all += "|" + linear + ":" + c.name;
    return to_hex(sha256(as_bytes(all)));
}

// A candidate under way: which layers are on disk, or what was made so far.
struct Work {
    Candidate candidate;
    MixedPlan mixed;  // kMixed
    Checkpoints checkpoints{{}, {}};
    std::vector<bool> ready;  // layers on disk
    QuantizedModel result;
    double seconds = 0;

    bool finished() const { return candidate.method == Method::kNone || std::all_of(ready.begin(), ready.end(), [](bool r) { return r; }); }
    bool sequential(const CalibrationOptions& o) const { return (candidate.method == Method::kGptq || candidate.method == Method::kMixed) && o.propagate; }
};

class Quantization {
   public:
    Quantization(std::shared_ptr<const ModelSource> source, const QuantizeManyOptions& options, compute::Backend& backend, const JobContext& ctx)
        : source_(std::move(source)), options_(options), backend_(backend), ctx_(ctx), pool_(backend.threads()) {}

    /// `search`: formats of mixed candidates are searched where they are not known; else kNotFound.
    Status prepare(std::span<const Candidate> candidates, std::span<const model::Token> calibration, bool search) {
        calibration_ = calibration;
        search_ = search;
        TENPAK_ASSIGN(config_, model::read_config(*source_));
        TENPAK_RETURN_IF_ERROR(refuse_quantized(*source_));
        if (const TensorInfo* t = source_->find(model::layer_layout(config_, 0).linears.front().name)) dtype_ = t->dtype;
        bool calibrated = static_cast<bool>(options_.also);
        for (const Candidate& c : candidates) {
            TENPAK_RETURN_IF_ERROR(check_candidate(c));
            calibrated = calibrated || c.needs_calibration();
        }
        if (calibrated) {
            TENPAK_ASSIGN(windows_, cut_windows(calibration, options_.calibration, config_.max_positions));
        }
        TENPAK_RETURN_IF_ERROR(locate(candidates, backend_.name()));
        for (const Work& w : work_) {
            for (std::uint32_t l = 0; l < config_.layers && w.candidate.method != Method::kNone; ++l) {
                const std::uint64_t tensors = model::layer_layout(config_, l).linears.size();
                progress_.total += tensors;
                progress_.done += w.ready[l] ? tensors : 0;
            }
        }
        return {};
    }

    Status run() {
        TENPAK_RETURN_IF_ERROR(shared_pass());
        for (Work& w : work_) {
            if (w.sequential(options_.calibration) && !w.finished()) TENPAK_RETURN_IF_ERROR(sequential_pass(w));
        }
        return {};
    }

    Result<QuantizedModel> take(Work& w) const {
        QuantizedModel r = std::move(w.result);
        if (!options_.checkpoints.empty() && w.candidate.method != Method::kNone) {
            for (std::uint32_t layer = 0; layer < config_.layers; ++layer) {
                TENPAK_RETURN_IF_ERROR(ctx_.check());
                TENPAK_ASSIGN(QuantizedModel part, w.checkpoints.read(layer));
                append(r, std::move(part));
            }
        }
        r.candidate = w.candidate;
        r.seconds = w.seconds;
        if (w.candidate.needs_calibration() && windows_.count() < options_.calibration.sequences) {
            r.notes.insert(r.notes.begin(), "calibrated on " + std::to_string(windows_.tokens.size()) + " tokens: the text has no more windows of " +
                                                std::to_string(windows_.length));
        }
        r.notes.insert(r.notes.begin(), w.mixed.notes.begin(), w.mixed.notes.end());
        note_groups(r);
        // A linear whose chosen format is 16 bit counts with the others.
        const StoredSize size = stored_size(*source_, r.weights, [&](const std::string& name) { return w.mixed.formats.contains(name); });
        r.stored_bytes = size.bytes;
        r.baseline_bytes = size.baseline_bytes;
        r.bits_per_weight = size.bits_per_weight;
        return r;
    }
    std::vector<Work>& work() { return work_; }

   private:
    // Looks for what an earlier run left.
    Status locate(std::span<const Candidate> candidates, const std::string& backend) {
        std::string model;
        if (!options_.checkpoints.empty()) {
            TENPAK_ASSIGN(model, model_fingerprint(*source_, ctx_));
        }
        for (const Candidate& c : candidates) {
            Work w;
            w.candidate = c;
            w.ready.resize(config_.layers);
            if (c.method == Method::kMixed) TENPAK_RETURN_IF_ERROR(choose_formats(w, model));
            if (!options_.checkpoints.empty() && c.method != Method::kNone) {
                TENPAK_RETURN_IF_ERROR(check_relative_path(c.name));
                std::string fingerprint = candidate_fingerprint(model, c, windows_, options_.calibration, backend);
                if (c.method == Method::kMixed) fingerprint = plan_fingerprint(fingerprint, w.mixed);
                w.checkpoints = Checkpoints(options_.checkpoints / (c.name + "-" + fingerprint.substr(0, 12)), fingerprint);
                for (std::uint32_t l = 0; l < config_.layers; ++l) {
                    TENPAK_RETURN_IF_ERROR(ctx_.check());
                    w.ready[l] = w.checkpoints.has(l);
                }
            }
            work_.push_back(std::move(w));
        }
        return {};
    }

    Status choose_formats(Work& w, const std::string& model) {
        if (const auto it = options_.mixed.find(w.candidate.name); it != options_.mixed.end()) {
            w.mixed = it->second;
            return {};
        }
        const auto begin = Clock::now();
        if (!sensitivity_) {
            SensitivityOptions measure;
            measure.calibration = options_.calibration;
            fs::path file;
            std::string fingerprint;
            if (!options_.checkpoints.empty()) {
                Candidate any = w.candidate;
                any.name = "sensitivity";
                any.target_bits = 0;
                fingerprint = candidate_fingerprint(model, any, windows_, options_.calibration, backend_.name()) + "-" + std::to_string(xxh3_64(std::as_bytes(calibration_)));
                file = options_.checkpoints / ("sensitivity-" + fingerprint.substr(0, 12) + ".json");
            }
            TENPAK_ASSIGN(sensitivity_, find_sensitivity(source_, calibration_, measure, backend_, ctx_, file, fingerprint, search_));
        }
        TENPAK_ASSIGN(const Composition composition, compose(*sensitivity_, w.candidate.target_bits, ctx_));
        w.mixed = plan_of(*sensitivity_, composition);
        w.seconds += seconds_since(begin);
        return {};
    }

    Job job_of(const Work& w) {
        Job job;
        job.source = source_;
        job.config = config_;
        job.ctx = ctx_;
        job.pool = &pool_;
        job.progress = &progress_;
        job.dtype = dtype_;
        job.result.candidate = w.candidate;
        if (w.candidate.method == Method::kMixed) job.mixed = &w.mixed;
        return job;
    }
    Status keep(Work& w, std::uint32_t layer, QuantizedModel part) {
        if (options_.checkpoints.empty()) {
            append(w.result, std::move(part));
            return {};
        }
        return w.checkpoints.write(layer, part);
    }

    Status shared_pass() {
        std::vector<Work*> members;
        for (Work& w : work_) {
            if (!w.finished() && !w.sequential(options_.calibration)) members.push_back(&w);
        }
        LayerPass pass;
        pass.calibrate = options_.also || std::any_of(members.begin(), members.end(), [](const Work* w) { return w->candidate.needs_calibration(); });
        pass.wanted = [&](std::uint32_t layer) {
            return options_.also || std::any_of(members.begin(), members.end(), [&](const Work* w) { return !w->ready[layer]; });
        };
        auto begin = Clock::now();
        pass.before = [&](std::uint32_t layer) { report("layer " + std::to_string(layer) + (pass.calibrate ? ": calibration" : "")); };
        pass.visit = [&](CalibratedLayer& layer) -> Status {
            // What all needed is everyone's part.
            for (Work* w : members) w->seconds += seconds_since(begin) / static_cast<double>(members.size());
            for (Work* w : members) {
                if (w->ready[layer.index]) continue;
                const auto start = Clock::now();
                Job job = job_of(*w);
                TENPAK_RETURN_IF_ERROR(quantize_layer(job, layer));
                TENPAK_RETURN_IF_ERROR(keep(*w, layer.index, std::move(job.result)));
                w->seconds += seconds_since(start);
            }
            if (options_.also) TENPAK_RETURN_IF_ERROR(options_.also(layer));
            begin = Clock::now();
            return {};
        };
        return visit_layers(source_, config_, windows_, backend_, pool_, ctx_, pass);
    }

    Status sequential_pass(Work& w) {
        const auto begin = Clock::now();
        TENPAK_ASSIGN(const auto model, model::Transformer::load(source_, {}, backend_, {}, ctx_));
        TENPAK_ASSIGN(CalibrationRun run, CalibrationRun::start(*model, windows_));
        for (std::uint32_t layer = 0; layer < config_.layers; ++layer) {
            report("layer " + std::to_string(layer) + ": calibration");
            Job job = job_of(w);
            if (w.ready[layer]) {
                TENPAK_ASSIGN(job.result, w.checkpoints.read(layer));
                for (const auto& [name, linear] : job.result.weights.linears) TENPAK_RETURN_IF_ERROR(model->set_linear(name, linear));
            } else {
                TENPAK_RETURN_IF_ERROR(quantize_layer_sequential(job, *model, run, layer));
                TENPAK_RETURN_IF_ERROR(keep(w, layer, std::move(job.result)));
            }
            if (layer + 1 < config_.layers) TENPAK_RETURN_IF_ERROR(run.run(layer, {}, true, pool_, ctx_));
        }
        w.seconds += seconds_since(begin);
        return {};
    }

    void report(const std::string& detail) const {
        ctx_.report({.phase = "quantize", .done = progress_.done, .total = progress_.total, .unit = "tensors", .detail = detail});
    }

    std::shared_ptr<const ModelSource> source_;
    const QuantizeManyOptions& options_;
    compute::Backend& backend_;
    const JobContext& ctx_;
    ThreadPool pool_;
    model::ModelConfig config_;
    CalibrationWindows windows_;
    std::span<const model::Token> calibration_;
    bool search_ = true;
    std::optional<Sensitivity> sensitivity_;  // one serves all mixed candidates
    DType dtype_ = DType::kBF16;
    PassProgress progress_;
    std::vector<Work> work_;
};

Error out_of_memory(const std::string& where) {
    return make_error(ErrorCode::kOutOfMemory, "out of memory while quantizing", where,
                      "Use fewer calibration sequences, or a machine with more memory");
}

}  // namespace

Status quantize_many(std::shared_ptr<const ModelSource> source, std::span<const Candidate> candidates, std::span<const model::Token> calibration,
                     const QuantizeManyOptions& options, compute::Backend& backend, const JobContext& ctx, const std::function<Status(QuantizedModel)>& done) {
    try {
        Quantization q(std::move(source), options, backend, ctx);
        TENPAK_RETURN_IF_ERROR(q.prepare(candidates, calibration, true));
        TENPAK_RETURN_IF_ERROR(q.run());
        for (Work& w : q.work()) {
            TENPAK_ASSIGN(QuantizedModel r, q.take(w));
            TENPAK_RETURN_IF_ERROR(done(std::move(r)));
        }
        return {};
    } catch (const std::bad_alloc&) {
        return out_of_memory(candidates.size() == 1 ? candidates.front().name : std::string());
    }
}

Result<QuantizedModel> load_checkpoint(std::shared_ptr<const ModelSource> source, const Candidate& candidate, std::span<const model::Token> calibration,
                                       const QuantizeManyOptions& options, compute::Backend& backend, const JobContext& ctx) {
    try {
        Quantization q(std::move(source), options, backend, ctx);
        TENPAK_RETURN_IF_ERROR(q.prepare({&candidate, 1}, calibration, false));
        if (!q.work().front().finished()) {
            return make_error(ErrorCode::kNotFound, "not all layers of this candidate are quantized yet", candidate.name);
        }
        return q.take(q.work().front());
    } catch (const std::bad_alloc&) {
        return out_of_memory(candidate.name);
    }
}

Result<QuantizedModel> quantize(std::shared_ptr<const ModelSource> source, const Candidate& candidate, std::span<const model::Token> calibration,
                                const CalibrationOptions& options, compute::Backend& backend, const JobContext& ctx) {
    std::optional<QuantizedModel> result;
    TENPAK_RETURN_IF_ERROR(quantize_many(std::move(source), {&candidate, 1}, calibration, {.calibration = options, .checkpoints = {}, .also = {}, .mixed = {}}, backend, ctx,
                                         [&](QuantizedModel q) -> Status {
                                             result = std::move(q);
                                             return {};
                                         }));
    return *std::move(result);
}

}  // namespace tenpak::quant

// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cmath>

#include "core/jobs/pairing.h"
#include "core/jobs/sweep.h"
#include "core/jobs/worker.h"

namespace tenpak::jobs {
namespace {

using optimizer::Trial;
using optimizer::TrialStatus;

constexpr const char* kDrift = "its throughput and fp16's, measured minutes apart, do not tell what both tell in turn: rank by the speed in turn";
constexpr double kDisagreement = 0.25;  // 28 %: beyond what quiet trials differ by

class Claim {
   public:
    Claim(JobStore& store, const std::string& id) : store_(store), id_(id) {}
    ~Claim() { (void)store_.release(id_).ok(); }
    Claim(const Claim&) = delete;
    Claim& operator=(const Claim&) = delete;

   private:
    JobStore& store_;
    const std::string& id_;
};

class Sweep {
   public:
    Sweep(JobStore& store, const std::string& id, const SweepOptions& options, const std::function<void(const Trial&)>& on_update, const JobContext& ctx)
        : store_(store), id_(id), options_(options), on_update_(on_update), ctx_(ctx) {}

    Status run() {
        TENPAK_ASSIGN(job_, store_.job(id_));
        TENPAK_ASSIGN(spec_, sweep_spec_from_json(job_.spec_json, "job " + id_));
        TENPAK_ASSIGN(std::vector<Trial> trials, store_.trials(id_));
        std::stable_partition(trials.begin(), trials.end(), [](const Trial& t) { return t.candidate == "fp16"; });
        if (trials.front().candidate != "fp16") return make_error(ErrorCode::kInvalidArgument, "a sweep without fp16 has nothing to compare with", id_);
        // What is known already is shown at once, then the rest is measured.
        for (Trial& t : trials) {
            TENPAK_RETURN_IF_ERROR(reuse(t));
            tell(t);
        }
        for (Trial& t : trials) {
            if (t.status != TrialStatus::kDone) TENPAK_RETURN_IF_ERROR(measure(t));
            if (t.candidate != "fp16") continue;
            if (t.status == TrialStatus::kDone) {
                baseline_nll_ = t.metrics.window_nll;
                if (!t.metrics.batches.empty()) baseline_tps_ = t.metrics.batches.back().throughput_tps;
            } else {
                baseline_error_ = t.error;
            }
        }
        return {};
    }

   private:
    Status reuse(Trial& t) {
        if (t.status == TrialStatus::kDone) return {};
        if (!options_.fresh && !t.candidate.starts_with(kImportPrefix)) {
            TENPAK_ASSIGN(auto known, store_.find_result(job_.result_key, t.candidate));
            if (known) {
                t = std::move(*known);
                return store_.put_trial(id_, t);
            }
        }
        Trial clean;
        clean.id = t.id;
        clean.candidate = t.candidate;
        t = clean;
        return {};
    }

    Status measure(Trial& t) {
        if (!baseline_error_.empty()) {
            fail(t, make_error(ErrorCode::kMismatch, "not measured: fp16 failed, so there is nothing to compare with", t.candidate));
            return store_.put_trial(id_, t);
        }
        TENPAK_RETURN_IF_ERROR(ctx_.check());
        t.status = TrialStatus::kRunning;
        t.phase = "load";
        TENPAK_RETURN_IF_ERROR(store_.put_trial(id_, t));
        tell(t);
        Result<Trial> r = run_trial(spec_, t.candidate, baseline_nll_, options_, on_update_, ctx_);
        // Two trials are minutes apart. Where the throughputs of fp16's and this one's do not tell what both told in turn, the
        // machine has changed between them: once more, and if that is no better, the figures are flagged.
        if (r.ok() && disagreement(*r) > kDisagreement) {
            Result<Trial> again = run_trial(spec_, t.candidate, baseline_nll_, options_, on_update_, ctx_);
            if (!again.ok() && again.error().code == ErrorCode::kCancelled) r = std::move(again);
            else if (again.ok() && disagreement(*again) < disagreement(*r)) r = std::move(again);
            if (r.ok() && disagreement(*r) > kDisagreement) {
                r->metrics.noisy = true;
                r->metrics.notes.emplace_back(kDrift);
            }
        }
        if (r.ok()) {
            t = std::move(*r);
        } else if (r.error().code == ErrorCode::kCancelled) {
            t.status = TrialStatus::kQueued;
            t.phase.clear();
            TENPAK_RETURN_IF_ERROR(store_.put_trial(id_, t));
            tell(t);
            return r.error();
        } else {
            fail(t, r.error());
        }
        TENPAK_RETURN_IF_ERROR(store_.put_trial(id_, t));
        tell(t);
        return {};
    }

    /// How far apart the two ratios of speed to fp16 are, in ln: of the trials' throughputs at the largest batch, and of both
    /// run in turn. 0 where one is not known.
    double disagreement(const Trial& t) const {
        const optimizer::Metrics& m = t.metrics;
        if (m.batches.empty() || !(m.speed_vs_fp16 > 0) || !(baseline_tps_ > 0) || !(m.batches.back().throughput_tps > 0)) return 0;
        return std::abs(std::log(m.batches.back().throughput_tps / baseline_tps_ / m.speed_vs_fp16));
    }

    static void fail(Trial& t, const Error& e) {
        t.status = TrialStatus::kFailed;
        t.error = e.text();
        t.error_code = error_code_name(e.code);
    }
    void tell(const Trial& t) const {
        if (on_update_) on_update_(t);
    }

    JobStore& store_;
    const std::string& id_;
    const SweepOptions& options_;
    const std::function<void(const Trial&)>& on_update_;
    const JobContext& ctx_;
    JobRecord job_;
    SweepSpec spec_;
    std::vector<double> baseline_nll_;
    double baseline_tps_ = 0;  ///< fp16's at the largest batch
    std::string baseline_error_;
};

}  // namespace

Status run_sweep(JobStore& store, const std::string& job_id, const SweepOptions& options, const std::function<void(const Trial&)>& on_update, const JobContext& ctx) {
    TENPAK_ASSIGN(const bool mine, store.claim(job_id));
    if (!mine) {
        return make_error(ErrorCode::kPermission, "another tenpak is running this sweep now", "job " + job_id, "Wait for it to end, or stop it");
    }
    const Claim claim(store, job_id);
    SweepOptions with_reference = options;
    if (!options.reference_directory.empty()) {
        with_reference.reference_file = options.reference_directory / ("reference-" + job_id + ".bin");
        with_reference.checkpoints = options.reference_directory / ("quantized-" + job_id);
    }
    TENPAK_RETURN_IF_ERROR(store.set_status(job_id, JobStatus::kRunning, {}));
    const Status s = Sweep(store, job_id, with_reference, on_update, ctx).run();
    // Worth some 100 MB only while candidates are missing: a sweep that was stopped goes on with it.
    std::error_code ec;
    if (s.ok() && !with_reference.reference_file.empty()) std::filesystem::remove(with_reference.reference_file, ec);
    if (s.ok() && !with_reference.checkpoints.empty()) std::filesystem::remove_all(with_reference.checkpoints, ec);
    if (s.ok()) return store.set_status(job_id, JobStatus::kDone, {});
    const bool cancelled = s.error().code == ErrorCode::kCancelled;
    (void)store.set_status(job_id, cancelled ? JobStatus::kCancelled : JobStatus::kFailed, cancelled ? std::string() : s.error().text()).ok();
    return s;
}

}  // namespace tenpak::jobs

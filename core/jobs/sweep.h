// SPDX-License-Identifier: Apache-2.0
// A sweep: which trials to run for which model, each in a worker process, recorded as it goes. Survives kill -9: run()
// with the same job id measures only what is missing.
#pragma once
#include <filesystem>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "core/base/job_context.h"
#include "core/jobs/job_store.h"
#include "core/optimizer/judge.h"

namespace tenpak::jobs {

/// Everything a trial's result depends on. Its canonical JSON's SHA-256 is the identity under which results are reused.
struct SweepSpec {
    std::string model_path;        ///< absolute
    std::string text_path;         ///< evaluation text
    std::string calibration_path;  ///< never the same text as text_path: kInvalidArgument
    std::vector<std::string> candidates;  ///< fp16 is always measured, first
    std::uint32_t eval_samples = 0, context = 0;
    std::vector<std::uint32_t> batches = {1, 2, 4, 8};
    std::uint64_t timing_samples = 300;
    std::string backend = "cpu";   ///< "cpu", "cuda:0", "fake:SCRIPT"
    std::string model_fingerprint; ///< filled by prepare(): changes when the model's files do
};
std::string sweep_spec_json(const SweepSpec& spec);
Result<SweepSpec> sweep_spec_from_json(const std::string& json, const std::string& where);

struct SweepOptions {
    std::filesystem::path worker_program;  ///< the `tenpak` binary
    unsigned retries = 1;                  ///< of a trial whose worker crashed
    double heartbeat_timeout_s = 30;
    double trial_timeout_s = 0;            ///< 0: none
};

/// Finds the text and calibration text a model brings with it (a sample's text/ folder) where the spec names none, checks
/// all inputs (model opens, architecture known, texts differ and have tokens) and fills model_fingerprint.
Result<SweepSpec> prepare_sweep(SweepSpec spec);

/// Runs the missing trials of `job`, one after the other (timings must not disturb each other), reporting every change.
/// A failed trial does not fail the sweep. Errors: kCancelled (what is done stays), kIo and the like.
Status run_sweep(JobStore& store, const std::string& job_id, const SweepOptions& options,
                 const std::function<void(const optimizer::Trial&)>& on_update, const JobContext& ctx);

}  // namespace tenpak::jobs

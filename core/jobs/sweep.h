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

/// A model that someone quantized already, measured beside the candidates as "import:NAME" (NAME: its folder or file).
struct ImportedModel {
    std::string name;         ///< "import:…"; filled by prepare_sweep()
    std::string path;         ///< absolute
    std::string fingerprint;  ///< of its files; filled by prepare_sweep()
    bool operator==(const ImportedModel&) const = default;
};
inline constexpr const char* kImportPrefix = "import:";

/// Everything a trial's result depends on. Its canonical JSON's SHA-256 is the identity under which results are reused.
struct SweepSpec {
    std::string model_path;        ///< absolute
    std::string base_path;         ///< absolute; of a model that is a delta (model_opener.h), else empty
    std::string text_path;         ///< evaluation text, absolute
    std::string calibration_path;  ///< never the same text as text_path: kInvalidArgument
    bool split_text = false;       ///< calibrate on the first four fifths of text_path and measure on the rest (quant::split_text)
    std::string tasks_path;        ///< multiple-choice items (evaluate/multiple_choice.h), absolute; empty: none
    std::vector<std::string> candidates;  ///< fp16 is always measured, first
    std::vector<ImportedModel> imports;   ///< each is in `candidates`, too, by its name
    std::uint32_t eval_samples = 0, context = 0;
    std::vector<std::uint32_t> batches = {1, 2, 4, 8};
    std::uint64_t timing_samples = 300;
    double timing_seconds = 120;   ///< of one trial's timing at most; what is not reached has fewer samples and no p99
    std::string backend = "cpu";   ///< "cpu", "cuda", "cuda:N", "fake:SCRIPT" (fake_backend.h)
    std::string model_fingerprint; ///< filled by prepare_sweep(): changes when the model's files or the texts do
    std::string device;            ///< results of another machine are not reused here; filled by prepare_sweep(), for a GPU by the caller (probe_hardware)
};
/// Canonical JSON: equal specs give equal text.
std::string sweep_spec_json(const SweepSpec& spec);
Result<SweepSpec> sweep_spec_from_json(const std::string& json, const std::string& where);
/// SHA-256 (hex) of all that a trial's result depends on besides its candidate, this program's version included. Results
/// of imported models are not reused by other jobs: their files are not part of it.
std::string sweep_result_key(const SweepSpec& spec);
/// What JobStore::create_job wants for a prepared spec; its candidates are spec.candidates.
JobRecord make_sweep_job(const SweepSpec& spec, const optimizer::Limits& limits, const std::string& hardware);

struct SweepOptions {
    std::filesystem::path worker_program;  ///< the `tenpak` binary
    unsigned retries = 1;                  ///< of a trial whose worker crashed or went silent
    double heartbeat_timeout_s = 30;
    double trial_timeout_s = 0;            ///< 0: none
    bool fresh = false;                    ///< measure anew what other jobs have measured
    /// Where fp16's predictions are kept while the sweep runs, so that each candidate's divergence from them is measured;
    /// empty: it is not.
    std::filesystem::path reference_directory;
    std::filesystem::path reference_file;  ///< set by run_sweep
    /// Set by run_sweep, beside the reference: where quantized layers are kept while the sweep runs, so that one pass of the
    /// calibration text serves all candidates and a sweep that was cut off goes on with the layers that it had.
    std::filesystem::path checkpoints;
};

/// Fills what is left open and checks all inputs: the model opens, its architecture is known, the texts have tokens and
/// share nothing (quant::refuse_same_text). Where the spec names no text, the model's own is taken: `text/` inside the model's
/// folder or beside it, there NAME.txt for a model folder NAME, else base.txt; calibration: calibration.txt there; items:
/// NAME.jsonl, else tasks.jsonl.
/// Imported models must have the model's vocabulary and cut the text into the same tokens; they are put last.
/// candidates: fp16 is put first. eval_samples and context 0 become the defaults. Fills model_fingerprint and device.
Result<SweepSpec> prepare_sweep(SweepSpec spec);

/// Runs the missing trials of `job`, one after the other (timings must not disturb each other), reporting every change;
/// trials that are done already, here or (unless fresh) under the same result_key, are reported and not run. A failed
/// trial does not fail the sweep; fp16 failing fails those after it, as nothing can be compared. Sets the job's status.
/// Errors: kCancelled (what is done stays, the status is kCancelled), kPermission (another process runs it), kIo …
Status run_sweep(JobStore& store, const std::string& job_id, const SweepOptions& options,
                 const std::function<void(const optimizer::Trial&)>& on_update, const JobContext& ctx);

}  // namespace tenpak::jobs

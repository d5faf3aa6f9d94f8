// SPDX-License-Identifier: Apache-2.0
// Jobs and trial results in SQLite (WAL, synchronous=FULL): shared by CLI, studio and server, by several processes at
// once. Thread-safe: each call takes the object's lock. Every change is durable when its call returns.
#pragma once
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "core/base/error.h"
#include "core/optimizer/judge.h"
#include "core/optimizer/trial.h"

namespace tenpak::jobs {

enum class JobStatus { kQueued, kRunning, kPaused, kDone, kFailed, kCancelled };
const char* job_status_name(JobStatus s);

struct JobRecord {
    std::string id;         ///< "s-20261122-1f3a9c"
    std::string kind;       ///< "sweep"
    std::string title;
    std::string spec_json;
    /// Under which finished trials are shared between jobs (sweep_result_key); empty: with no other job.
    std::string result_key;
    optimizer::Limits limits;
    std::string hardware;   ///< id of a HardwarePrice
    JobStatus status = JobStatus::kQueued;
    std::string created, updated;  ///< RFC 3339
    std::string error;
    bool interrupted = false;  ///< recorded as running, but its process is gone (checked whenever the record is read)
};

class JobStore {
   public:
    /// Creates the file and its folder where needed. kMalformed for something that is no database of ours, kUnsupported
    /// for one of a newer program.
    static Result<std::unique_ptr<JobStore>> open(const std::filesystem::path& path);
    /// $TENPAK_DATA_DIR or $XDG_DATA_HOME/tenpak or ~/.local/share/tenpak.
    static std::filesystem::path default_directory();
    static constexpr const char* kFileName = "jobs.sqlite";
    virtual ~JobStore() = default;

    virtual Result<std::string> create_job(JobRecord job, const std::vector<std::string>& candidates) = 0;  ///< returns its id
    virtual Result<JobRecord> job(const std::string& id) const = 0;
    virtual Result<std::vector<JobRecord>> jobs() const = 0;  ///< newest first
    virtual Status set_status(const std::string& id, JobStatus status, const std::string& error) = 0;
    virtual Status set_limits(const std::string& id, const optimizer::Limits& limits) = 0;
    virtual Result<std::vector<optimizer::Trial>> trials(const std::string& id) const = 0;
    virtual Status put_trial(const std::string& id, const optimizer::Trial& trial) = 0;
    virtual Status remove_job(const std::string& id) = 0;
    /// The newest finished trial that any job with this result_key has for `candidate`.
    virtual Result<std::optional<optimizer::Trial>> find_result(const std::string& result_key, const std::string& candidate) const = 0;
    /// The newest job with the same spec that is not done, so that `tenpak optimize` goes on after kill -9.
    virtual Result<std::optional<std::string>> find_unfinished(const std::string& spec_json) const = 0;
    /// One JobStore object at a time runs a job: false when another one has it that lives (its process is known by pid
    /// and start time). A claim ends with release(), with the object, or with the process.
    virtual Result<bool> claim(const std::string& id) = 0;
    virtual Status release(const std::string& id) = 0;
};

/// A Trial to JSON and back (NaN as null): store, worker protocol, recorded sweep of the sample.
std::string trial_to_json(const optimizer::Trial& trial);
Result<optimizer::Trial> trial_from_json(const std::string& json, const std::string& where);

}  // namespace tenpak::jobs

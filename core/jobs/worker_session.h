// SPDX-License-Identifier: Apache-2.0
// The worker's end of the channel while a trial runs: a heartbeat thread, a thread that hears cancel and the parent's
// death, and throttled progress.
#pragma once
#include <atomic>
#include <chrono>
#include <functional>
#include <mutex>
#include <string>
#include <thread>

#include "core/base/job_context.h"
#include "core/jobs/line_channel.h"
#include "core/jobs/worker_protocol.h"

namespace tenpak::jobs {

class WorkerSession {
   public:
    explicit WorkerSession(LineChannel& channel);
    ~WorkerSession();

    /// Stop token of the trial; its on_progress goes to the current phase.
    JobContext context();
    /// Progress of `phase`; never goes back within one phase.
    void report(const std::string& phase, double fraction);
    Status send(std::string_view line) { return channel_.write_line(line, kForever); }
    int fd() const { return channel_.fd(); }

    // Faults, for the fake backend only.
    void stop_heartbeat() { silent_ = true; }
    void ignore_cancel() { deaf_ = true; }

   private:
    // A parent that is stopped (Ctrl-Z) does not read for a while; one that is dead is noticed by hear().
    static constexpr int kForever = -1;
    void beat(const std::stop_token& end);
    void hear(const std::stop_token& end);
    LineChannel& channel_;
    std::stop_source stop_;
    std::atomic<bool> silent_ = false, deaf_ = false;
    std::mutex m_;
    std::string phase_;
    double fraction_ = 0;
    std::chrono::steady_clock::time_point last_;
    std::jthread beat_, hear_;
};

/// One candidate on the spec's device: load, quantize, perplexity, timing.
Result<optimizer::Trial> run_model_trial(const StartMessage& start, WorkerSession& session);
/// One scripted candidate (fake_backend.h).
Result<optimizer::Trial> run_fake_trial(const StartMessage& start, WorkerSession& session);
/// Protocol version that the script wants to be announced; kWorkerProtocol normally.
int fake_protocol(const StartMessage& start);

}  // namespace tenpak::jobs

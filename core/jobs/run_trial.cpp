// SPDX-License-Identifier: Apache-2.0
// The parent's side of a trial: start a worker, hear it out, and be rid of it in bounded time whatever it does.
#include <poll.h>
#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cmath>

#include "core/jobs/child_process.h"
#include "core/jobs/exit_reason.h"
#include "core/jobs/line_channel.h"
#include "core/jobs/pairing.h"
#include "core/jobs/process_identity.h"
#include "core/jobs/worker.h"
#include "core/jobs/worker_protocol.h"

namespace tenpak::jobs {
namespace {

using Clock = std::chrono::steady_clock;
using std::chrono::milliseconds;

// Cancel: message, then SIGTERM, then SIGKILL. A worker keeps no state that a kill could spoil (results live in the
// parent), so the steps are short and the caller has its answer within 200 ms.
constexpr milliseconds kCancelToTerm{100}, kCancelToKill{150};
constexpr milliseconds kGoneAtLatest{2000};
constexpr milliseconds kPoll{20};
constexpr milliseconds kBetweenUpdates{50};
constexpr milliseconds kExitAfterResult{1000};

double seconds(Clock::duration d) { return std::chrono::duration<double>(d).count(); }

class Supervisor {
   public:
    Supervisor(const std::string& candidate, const SweepOptions& options, const std::function<void(const optimizer::Trial&)>& on_update, const JobContext& ctx)
        : candidate_(candidate), options_(options), on_update_(on_update), ctx_(ctx), oom_before_(OomCount::now()) {
        trial_.id = trial_.candidate = candidate;
        trial_.status = optimizer::TrialStatus::kRunning;
        trial_.phase = "load";
    }

    Result<optimizer::Trial> run(const SweepSpec& spec, unsigned attempt) {
        TENPAK_RETURN_IF_ERROR(ctx_.check());
        trial_.attempts = attempt;
        TENPAK_ASSIGN(child_, ChildProcess::start(options_.worker_program,
                                                  {"worker", "--fd", std::to_string(ChildProcess::kSocketFd), "--parent", std::to_string(::getpid())}, true));
        channel_ = std::make_unique<LineChannel>(child_->take_socket());
        const Status started = channel_->write_line(start_message({kWorkerProtocol, spec, candidate_, attempt, options_.reference_file.string(), options_.checkpoints.string()}), 2000);
        // A worker that dies at once breaks the pipe: how it died says more.
        if (!started.ok() && !child_->wait_exit(200)) return give_up(started.error());
        report(true);
        started_ = last_heard_ = Clock::now();
        for (;;) {
            if (ctx_.cancelled()) return cancel();
            if (auto done = listen()) return std::move(*done);
            const auto now = Clock::now();
            if (options_.heartbeat_timeout_s > 0 && seconds(now - last_heard_) > options_.heartbeat_timeout_s) {
                return give_up(make_error(ErrorCode::kTimeout, "no heartbeat of the worker for " + std::to_string(static_cast<int>(seconds(now - last_heard_))) +
                                          " s in phase \"" + trial_.phase + "\"", candidate_, "Run the sweep again to retry it"));
            }
            if (options_.trial_timeout_s > 0 && seconds(now - started_) > options_.trial_timeout_s) {
                return give_up(make_error(ErrorCode::kTimeout, "the trial took longer than its time limit, in phase \"" + trial_.phase + "\"", candidate_,
                                          "Raise the limit or measure fewer samples"));
            }
        }
    }

   private:
    // One round of waiting. A value ends the trial.
    std::optional<Result<optimizer::Trial>> listen() {
        pollfd fds[1] = {{channel_->fd(), POLLIN, 0}};
        ::poll(fds, 1, static_cast<int>(kPoll.count()));
        child_->drain_output();
        // Bounded, so that a flood of lines cannot keep the caller from cancelling.
        for (int i = 0; i < 256; ++i) {
            auto line = channel_->read_line(0);
            if (!line.ok()) return protocol_error(line.error());
            if (!line->has_value()) break;
            auto message = parse_worker_message(**line);
            if (!message.ok()) return protocol_error(message.error());
            if (auto done = handle(*message)) return done;
        }
        if (channel_->at_end() || child_->poll_exit().exited) return died();
        return std::nullopt;
    }

    std::optional<Result<optimizer::Trial>> handle(WorkerMessage& m) {
        using Type = WorkerMessage::Type;
        last_heard_ = Clock::now();
        if (m.type == Type::kHello) {
            if (m.protocol != kWorkerProtocol) {
                return Result<optimizer::Trial>(give_up(make_error(ErrorCode::kMismatch, "the worker speaks protocol " + std::to_string(m.protocol) + ", this program " +
                                                                   std::to_string(kWorkerProtocol), options_.worker_program.string(), "Install one version of tenpak only")));
            }
            greeted_ = true;
            return std::nullopt;
        }
        if (!greeted_ && m.type != Type::kError) return protocol_error(make_error(ErrorCode::kMalformed, "a message before the handshake", "worker channel"));
        if (m.type == Type::kProgress) {
            const bool fresh = m.phase != trial_.phase;
            trial_.phase = m.phase;
            trial_.fraction = m.fraction;
            report(fresh);
        } else if (m.type == Type::kError) {
            finish_child();
            // kCancelled is for the caller's own wish: a worker that stops by itself has failed.
            if (m.error.code == ErrorCode::kCancelled && !ctx_.cancelled()) m.error.code = ErrorCode::kWorkerCrashed;
            return Result<optimizer::Trial>(m.error);
        } else if (m.type == Type::kResult) {
            finish_child();
            return accept(std::move(m.trial));
        }
        return std::nullopt;
    }

    Result<optimizer::Trial> accept(optimizer::Trial t) {
        if (t.candidate != candidate_ || t.id != candidate_) {
            return make_error(ErrorCode::kWorkerCrashed, "the worker sent a result of another candidate", candidate_);
        }
        if (!std::isfinite(t.metrics.perplexity) || t.metrics.perplexity <= 0) {
            return make_error(ErrorCode::kNumeric, "the perplexity is not a finite number", candidate_, "Check the model's weights and the text");
        }
        for (optimizer::BatchPoint& b : t.metrics.batches) {
            if (b.samples < optimizer::kMinP99Samples) b.p99_ms = optimizer::kUnknown;
        }
        t.status = optimizer::TrialStatus::kDone;
        t.provenance = optimizer::Provenance::kMeasured;
        t.phase.clear();
        t.fraction = 1;
        t.error.clear();
        t.error_code.clear();
        t.attempts = trial_.attempts;
        t.measured_at = now_rfc3339();
        return t;
    }

    Result<optimizer::Trial> protocol_error(const Error& e) {
        kill();
        return make_error(ErrorCode::kWorkerCrashed, "the worker sent something that is no message: " + e.what, candidate_, "Run the sweep again to retry it");
    }

    Result<optimizer::Trial> died() {
        if (!child_->wait_exit(300)) kill();  // it closed its channel and lives
        child_->drain_output();
        const bool oom = OomCount::now().increased_since(oom_before_);
        return death_error(child_->poll_exit(), candidate_, greeted_ ? trial_.phase : "", child_->last_words(), oom);
    }

    Error give_up(Error e) {
        kill();
        return e;
    }
    void kill() {
        child_->signal(SIGKILL);
        child_->wait_exit(static_cast<int>(kGoneAtLatest.count()));
        child_->drain_output();
    }
    void finish_child() {
        if (!child_->wait_exit(static_cast<int>(kExitAfterResult.count()))) kill();
    }

    Error cancel() {
        const auto asked = Clock::now();
        (void)channel_->write_line(R"({"type":"cancel"})", 20).ok();
        bool term = false, killed = false;
        while (!child_->wait_exit(5)) {
            child_->drain_output();
            const auto waited = Clock::now() - asked;
            if (waited >= kGoneAtLatest) break;
            if (waited >= kCancelToKill && !std::exchange(killed, true)) child_->signal(SIGKILL);
            else if (waited >= kCancelToTerm && !std::exchange(term, true)) child_->signal(SIGTERM);
        }
        return make_error(ErrorCode::kCancelled, "stopped by the user", candidate_);
    }

    void report(bool now) {
        const auto t = Clock::now();
        if (!on_update_ || (!now && t - last_report_ < kBetweenUpdates)) return;
        last_report_ = t;
        on_update_(trial_);
    }

    const std::string& candidate_;
    const SweepOptions& options_;
    const std::function<void(const optimizer::Trial&)>& on_update_;
    const JobContext& ctx_;
    OomCount oom_before_;
    optimizer::Trial trial_;
    std::unique_ptr<ChildProcess> child_;
    std::unique_ptr<LineChannel> channel_;
    Clock::time_point started_, last_heard_, last_report_;
    bool greeted_ = false;
};

}  // namespace

Result<optimizer::Trial> run_trial(const SweepSpec& spec, const std::string& candidate, const std::vector<double>& baseline_nll, const SweepOptions& options,
                                   const std::function<void(const optimizer::Trial&)>& on_update, const JobContext& ctx) {
    for (unsigned attempt = 1;; ++attempt) {
        Supervisor supervisor(candidate, options, on_update, ctx);
        Result<optimizer::Trial> r = supervisor.run(spec, attempt);
        if (r.ok()) {
            pair_with_baseline(*r, baseline_nll);
            return r;
        }
        const bool again = r.error().code == ErrorCode::kWorkerCrashed || r.error().code == ErrorCode::kTimeout;
        if (!again || attempt > options.retries) return r;
    }
}

}  // namespace tenpak::jobs

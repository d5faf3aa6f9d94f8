// SPDX-License-Identifier: Apache-2.0
#include "core/jobs/worker_session.h"

#include <signal.h>
#include <unistd.h>

namespace tenpak::jobs {
namespace {

constexpr std::chrono::milliseconds kBeat{1000}, kSlice{25}, kBetweenReports{40};
constexpr int kOrphanExit = 3;

}  // namespace

WorkerSession::WorkerSession(LineChannel& channel)
    : channel_(channel), beat_([this](const std::stop_token& end) { beat(end); }), hear_([this](const std::stop_token& end) { hear(end); }) {}

WorkerSession::~WorkerSession() {
    beat_.request_stop();
    hear_.request_stop();
}

void WorkerSession::beat(const std::stop_token& end) {
    auto next = std::chrono::steady_clock::now() + kBeat;
    while (!end.stop_requested()) {
        std::this_thread::sleep_for(kSlice);
        if (silent_ || std::chrono::steady_clock::now() < next) continue;
        next = std::chrono::steady_clock::now() + kBeat;
        (void)channel_.write_line(heartbeat_message(), kForever).ok();  // a dead parent is noticed by hear()
    }
}

void WorkerSession::hear(const std::stop_token& end) {
    while (!end.stop_requested()) {
        const auto line = channel_.read_line(static_cast<int>(kSlice.count()));
        // The parent is gone: its results are of use to nobody, and the CPU may be wanted for the next run.
        if (!line.ok() || channel_.at_end()) ::_exit(kOrphanExit);
        if (line->has_value() && **line == R"({"type":"cancel"})" && !deaf_) stop_.request_stop();
    }
}

JobContext WorkerSession::context() {
    JobContext ctx;
    ctx.stop = stop_.get_token();
    ctx.on_progress = [this](const Progress& p) {
        std::string phase;
        {
            std::scoped_lock lock(m_);
            phase = phase_;
        }
        if (p.total > 0) report(phase, static_cast<double>(p.done) / static_cast<double>(p.total));
    };
    return ctx;
}

void WorkerSession::report(const std::string& phase, double fraction) {
    std::scoped_lock lock(m_);
    const auto now = std::chrono::steady_clock::now();
    if (phase == phase_) {
        if (fraction <= fraction_ || now - last_ < kBetweenReports) return;
    }
    phase_ = phase;
    fraction_ = fraction;
    last_ = now;
    (void)channel_.write_line(progress_message(phase, fraction), kForever).ok();
}

}  // namespace tenpak::jobs

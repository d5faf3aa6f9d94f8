// SPDX-License-Identifier: Apache-2.0
#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <new>

#include "core/compute/cuda/cuda_backend.h"
#include "core/jobs/line_channel.h"
#include "core/jobs/worker.h"
#include "core/jobs/worker_protocol.h"
#include "core/jobs/worker_session.h"

namespace tenpak::jobs {
namespace {

constexpr int kExitOk = 0, kExitUsage = 2, kExitOrphan = 3, kExitChannel = 4;
constexpr int kStartTimeoutMs = 30'000;

Result<optimizer::Trial> run(const StartMessage& start, WorkerSession& session) {
    try {
        if (start.spec.backend == "cpu" || compute::is_cuda_device(start.spec.backend)) return run_model_trial(start, session);
        if (start.spec.backend.starts_with("fake:")) return run_fake_trial(start, session);
        return make_error(ErrorCode::kUnsupported, "no backend \"" + start.spec.backend + "\"", {}, "Known: cpu, cuda, cuda:N");
    } catch (const std::bad_alloc&) {
        return make_error(ErrorCode::kOutOfMemory, "the worker ran out of memory", start.candidate, "Free memory, or try a smaller model or batch");
    } catch (const std::exception& e) {
        return make_error(ErrorCode::kInternal, e.what(), start.candidate);
    }
}

}  // namespace

int worker_main(int fd, int parent) {
    struct stat st{};
    if (::fstat(fd, &st) != 0 || !S_ISSOCK(st.st_mode)) return kExitUsage;
    // Dies with the parent's thread that started it; the second look closes the gap before the call.
    const pid_t expected = parent > 0 ? parent : ::getppid();
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (::getppid() != expected) return kExitOrphan;
    ::fcntl(fd, F_SETFD, FD_CLOEXEC);
    ::signal(SIGINT, SIG_IGN);  // the terminal's Ctrl-C is the parent's business
    ::signal(SIGHUP, SIG_IGN);
    ::signal(SIGPIPE, SIG_IGN);
    ::signal(SIGTERM, SIG_DFL);

    LineChannel channel(fd);
    const auto line = channel.read_line(kStartTimeoutMs);
    if (!line.ok() || !line->has_value()) return kExitChannel;
    const auto start = parse_start(**line);
    if (!start.ok()) return channel.write_line(error_message(start.error()), 1000).ok() ? kExitOk : kExitChannel;
    const int protocol = start->spec.backend.starts_with("fake:") ? fake_protocol(*start) : kWorkerProtocol;
    if (!channel.write_line(hello_message(protocol), 1000).ok()) return kExitChannel;
    if (start->protocol != kWorkerProtocol) {
        const Error e = make_error(ErrorCode::kMismatch, "the parent speaks protocol " + std::to_string(start->protocol) + ", this worker " + std::to_string(kWorkerProtocol), {},
                                   "Install one version of tenpak only");
        return channel.write_line(error_message(e), 1000).ok() ? kExitOk : kExitChannel;
    }
    std::string last;
    {
        WorkerSession session(channel);
        const auto result = run(*start, session);
        last = result.ok() ? result_message(*result) : error_message(result.error());
        if (!session.send(last).ok()) return kExitChannel;
    }
    return kExitOk;
}

}  // namespace tenpak::jobs

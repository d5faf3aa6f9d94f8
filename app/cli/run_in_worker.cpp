// SPDX-License-Identifier: Apache-2.0
#include "app/cli/run_in_worker.h"

#include <signal.h>
#include <spawn.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <string>
#include <vector>

#include "core/compute/cuda/cuda_backend.h"

extern char** environ;

namespace tenpak::cli {
namespace {

constexpr const char* kMark = "TENPAK_WORKER_OF";  // the parent's pid: an inherited mark of an older process does not count

bool names_gpu(int argc, char** argv) {
    // optimize has workers of its own, one a trial.
    if (argc < 2 || std::strcmp(argv[1], "optimize") == 0) return false;
    for (int i = 1; i < argc; ++i) {
        const std::string a = argv[i];
        if (a == "--") return false;
        if (a == "--device" && i + 1 < argc && compute::is_cuda_device(argv[i + 1])) return true;
        if (a.starts_with("--device=") && compute::is_cuda_device(a.substr(9))) return true;
    }
    return false;
}

pid_t g_child = 0;
void pass_on(int s) {
    if (g_child > 0) ::kill(g_child, s);
}

}  // namespace

std::optional<Result<int>> run_in_worker(int argc, char** argv) {
    if (!names_gpu(argc, argv)) return std::nullopt;
    if (const char* of = std::getenv(kMark); of != nullptr && std::string(of) == std::to_string(::getppid())) {
        ::prctl(PR_SET_PDEATHSIG, SIGTERM);
        return std::nullopt;
    }
    const std::string mark = std::string(kMark) + "=" + std::to_string(::getpid());
    std::vector<char*> environment;
    for (char** e = environ; *e != nullptr; ++e)
        if (std::strncmp(*e, kMark, std::strlen(kMark)) != 0) environment.push_back(*e);
    environment.push_back(const_cast<char*>(mark.c_str()));
    environment.push_back(nullptr);
    // A terminal's Ctrl-C reaches both; what is sent to this process alone is passed on.
    struct sigaction action{};
    action.sa_handler = pass_on;
    ::sigaction(SIGTERM, &action, nullptr);
    ::signal(SIGINT, SIG_IGN);
    posix_spawnattr_t attributes;
    ::posix_spawnattr_init(&attributes);
    sigset_t defaults;
    ::sigemptyset(&defaults);
    ::sigaddset(&defaults, SIGINT);
    ::sigaddset(&defaults, SIGTERM);
    ::posix_spawnattr_setsigdefault(&attributes, &defaults);
    ::posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGDEF);
    pid_t pid = 0;
    const int failed = ::posix_spawn(&pid, "/proc/self/exe", nullptr, &attributes, argv, environment.data());
    ::posix_spawnattr_destroy(&attributes);
    if (failed != 0) return Result<int>(make_error(ErrorCode::kInternal, std::string("cannot start a worker process: ") + std::strerror(failed)));
    g_child = pid;
    int status = 0;
    while (::waitpid(pid, &status, 0) < 0) {
        if (errno != EINTR) return Result<int>(make_error(ErrorCode::kInternal, "lost the worker process"));
    }
    g_child = 0;
    if (WIFEXITED(status)) return Result<int>(WEXITSTATUS(status));
    const int s = WTERMSIG(status);
    return Result<int>(make_error(ErrorCode::kWorkerCrashed, std::string("the worker process was ended by signal ") + std::to_string(s) + " (" + ::strsignal(s) + ")", {},
                                  s == SIGKILL ? "The system may have run out of memory" : "Try --device cpu"));
}

}  // namespace tenpak::cli

// SPDX-License-Identifier: Apache-2.0
// Runs a built program as a user would: exit code, stdout and stderr apart, with a time limit.
#pragma once
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <filesystem>
#include <string>
#include <utility>
#include <vector>

#include "tests/support/temp_dir.h"

namespace tenpak::test {

struct Finished {
    int code = -1;    ///< exit code, or 128 + signal
    std::string out, err;
    bool timed_out = false;
    double seconds = 0;
};

/// `env` adds or replaces variables ("NAME=value"). The child is killed after `limit_s`.
inline Finished run_program(const std::filesystem::path& program, const std::vector<std::string>& args,
                            const std::vector<std::string>& env = {}, double limit_s = 120) {
    Finished r;
    int out[2], err[2];
    if (pipe2(out, O_CLOEXEC) != 0 || pipe2(err, O_CLOEXEC) != 0) return r;
    std::vector<std::string> words{program.string()};
    words.insert(words.end(), args.begin(), args.end());
    std::vector<char*> argv;
    for (auto& w : words) argv.push_back(w.data());
    argv.push_back(nullptr);
    std::vector<std::string> extra = env;
    const auto start = std::chrono::steady_clock::now();
    const pid_t pid = fork();
    if (pid == 0) {
        dup2(out[1], STDOUT_FILENO);
        dup2(err[1], STDERR_FILENO);
        for (auto& e : extra) putenv(e.data());
        execv(argv[0], argv.data());
        _exit(127);
    }
    close(out[1]);
    close(err[1]);
    auto elapsed = [&] { return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count(); };
    pollfd fds[2] = {{out[0], POLLIN, 0}, {err[0], POLLIN, 0}};
    std::string* text[2] = {&r.out, &r.err};
    int open_ends = 2;
    char buffer[65536];
    while (open_ends > 0) {
        poll(fds, 2, 100);
        for (int i = 0; i < 2; ++i) {
            if (fds[i].fd < 0 || (fds[i].revents & (POLLIN | POLLHUP | POLLERR)) == 0) continue;
            const ssize_t n = read(fds[i].fd, buffer, sizeof buffer);
            if (n > 0) {
                text[i]->append(buffer, static_cast<std::size_t>(n));
            } else {
                fds[i].fd = -1;
                --open_ends;
            }
        }
        if (!r.timed_out && elapsed() > limit_s) {
            r.timed_out = true;
            kill(pid, SIGKILL);
        }
    }
    close(out[0]);
    close(err[0]);
    int status = 0;
    waitpid(pid, &status, 0);
    r.code = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
    r.seconds = elapsed();
    return r;
}

inline Finished tenpak(const std::vector<std::string>& args, const std::vector<std::string>& env = {}, double limit_s = 120) {
    return run_program(bin_dir() / "tenpak", args, env, limit_s);
}

}  // namespace tenpak::test

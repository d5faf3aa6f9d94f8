// SPDX-License-Identifier: Apache-2.0
// A worker as its parent holds it. Started with posix_spawn, so also from a program with many threads (Qt); every other
// descriptor of the parent is closed in it, its stdin is /dev/null, stdout and stderr go to one pipe.
#pragma once
#include <sys/types.h>

#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "core/base/error.h"

namespace tenpak::jobs {

/// How a process ended, or that it has not.
struct ExitState {
    bool exited = false;
    int code = 0;    ///< when no signal
    int signal = 0;  ///< 0: none
};

class ChildProcess {
   public:
    /// Runs `program arguments…`. With `socket` the child has the other end of a socketpair as descriptor kSocketFd.
    /// The child's default signal actions are restored, and it is a process group of its own (no Ctrl-C of the terminal).
    static Result<std::unique_ptr<ChildProcess>> start(const std::filesystem::path& program, const std::vector<std::string>& arguments, bool socket);
    ~ChildProcess();  ///< kills and reaps what is left
    ChildProcess(const ChildProcess&) = delete;
    ChildProcess& operator=(const ChildProcess&) = delete;

    static constexpr int kSocketFd = 3;
    pid_t pid() const { return pid_; }
    int take_socket();  ///< the parent's end; the caller closes it
    /// Reads what there is on stdout and stderr into tail(), never blocks. False once all writers are gone.
    bool drain_output();
    const std::string& output() const { return output_; }  ///< at most the last 64 KiB
    /// The last lines of output, for an error text: at most 300 bytes, joined by " | ".
    std::string last_words() const;
    ExitState poll_exit();
    void signal(int number);
    /// Waits until it has ended, at most so long; false when it has not.
    bool wait_exit(int timeout_ms);

   private:
    ChildProcess() = default;
    pid_t pid_ = -1;
    int socket_ = -1, output_fd_ = -1;
    std::string output_;
    ExitState state_;
};

}  // namespace tenpak::jobs

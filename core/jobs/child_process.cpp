// SPDX-License-Identifier: Apache-2.0
#include "core/jobs/child_process.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <chrono>

namespace tenpak::jobs {
namespace {

constexpr std::size_t kKeptOutput = 64u << 10;

// Descriptors that are above those the child gets, so that no dup2 below overwrites one that is still needed.
int lift(int fd) {
    const int up = ::fcntl(fd, F_DUPFD_CLOEXEC, 10);
    ::close(fd);
    return up;
}

class SpawnPlan {
   public:
    SpawnPlan() {
        posix_spawn_file_actions_init(&actions);
        posix_spawnattr_init(&attributes);
    }
    ~SpawnPlan() {
        posix_spawn_file_actions_destroy(&actions);
        posix_spawnattr_destroy(&attributes);
    }
    SpawnPlan(const SpawnPlan&) = delete;
    SpawnPlan& operator=(const SpawnPlan&) = delete;
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attributes;
};

}  // namespace

Result<std::unique_ptr<ChildProcess>> ChildProcess::start(const std::filesystem::path& program, const std::vector<std::string>& arguments, bool socket) {
    std::unique_ptr<ChildProcess> child(new ChildProcess);
    std::array<int, 2> out{-1, -1}, pair{-1, -1};
    if (::pipe2(out.data(), O_CLOEXEC) != 0) return errno_error("cannot make a pipe for the worker", {}, errno);
    child->output_fd_ = lift(out[0]);
    out[1] = lift(out[1]);
    ::fcntl(child->output_fd_, F_SETFL, O_NONBLOCK);
    if (socket) {
        if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair.data()) != 0) {
            const int e = errno;
            ::close(out[1]);
            return errno_error("cannot make a socket for the worker", {}, e);
        }
        child->socket_ = lift(pair[0]);
        pair[1] = lift(pair[1]);
    }

    SpawnPlan plan;
    posix_spawn_file_actions_addopen(&plan.actions, 0, "/dev/null", O_RDONLY, 0);
    posix_spawn_file_actions_adddup2(&plan.actions, out[1], 1);
    posix_spawn_file_actions_adddup2(&plan.actions, out[1], 2);
    if (socket) posix_spawn_file_actions_adddup2(&plan.actions, pair[1], kSocketFd);
    posix_spawn_file_actions_addclosefrom_np(&plan.actions, socket ? kSocketFd + 1 : kSocketFd);
    sigset_t none, all;
    sigemptyset(&none);
    sigfillset(&all);
    posix_spawnattr_setsigmask(&plan.attributes, &none);
    posix_spawnattr_setsigdefault(&plan.attributes, &all);
    posix_spawnattr_setpgroup(&plan.attributes, 0);
    posix_spawnattr_setflags(&plan.attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETPGROUP);

    std::string name = program.string();
    std::vector<std::string> words = arguments;
    std::vector<char*> argv = {name.data()};
    for (std::string& w : words) argv.push_back(w.data());
    argv.push_back(nullptr);
    const int rc = ::posix_spawn(&child->pid_, name.c_str(), &plan.actions, &plan.attributes, argv.data(), environ);
    ::close(out[1]);
    if (pair[1] >= 0) ::close(pair[1]);
    if (rc != 0) {
        child->pid_ = -1;
        return errno_error("cannot start the worker program", name, rc);
    }
    return child;
}

ChildProcess::~ChildProcess() {
    if (pid_ > 0 && !state_.exited) {
        signal(SIGKILL);
        wait_exit(2000);
    }
    if (socket_ >= 0) ::close(socket_);
    if (output_fd_ >= 0) ::close(output_fd_);
}

int ChildProcess::take_socket() { return std::exchange(socket_, -1); }

bool ChildProcess::drain_output() {
    std::array<char, 8192> chunk;
    // Bounded: a worker that floods its stderr must not keep its parent here.
    for (int i = 0; i < 64; ++i) {
        const ssize_t n = ::read(output_fd_, chunk.data(), chunk.size());
        if (n == 0) return false;
        if (n < 0) return errno == EAGAIN || errno == EINTR;
        output_.append(chunk.data(), static_cast<std::size_t>(n));
        if (output_.size() > kKeptOutput) output_.erase(0, output_.size() - kKeptOutput);
    }
    return true;
}

std::string ChildProcess::last_words() const {
    std::string words;
    std::size_t end = output_.size();
    for (int lines = 0; lines < 3 && end > 0; ++lines) {
        while (end > 0 && (output_[end - 1] == '\n' || output_[end - 1] == ' ')) --end;
        if (end == 0) break;
        const std::size_t newline = output_.rfind('\n', end - 1);
        const std::size_t begin = newline == std::string::npos ? 0 : newline + 1;
        const std::string line = output_.substr(begin, std::min<std::size_t>(end - begin, 300));
        if (words.size() + line.size() > 300 && !words.empty()) break;
        words = words.empty() ? line : line + " | " + words;
        end = begin;
    }
    return words;
}

ExitState ChildProcess::poll_exit() {
    if (state_.exited || pid_ <= 0) return state_;
    int status = 0;
    const pid_t r = ::waitpid(pid_, &status, WNOHANG);
    if (r == pid_) {
        state_.exited = true;
        if (WIFSIGNALED(status)) state_.signal = WTERMSIG(status);
        else state_.code = WEXITSTATUS(status);
    } else if (r < 0 && errno == ECHILD) {
        state_.exited = true;  // reaped elsewhere (SIGCHLD ignored): how it ended is not known
        state_.code = -1;
    }
    return state_;
}

void ChildProcess::signal(int number) {
    // Not reaped yet, so the pid is still this child's.
    if (pid_ > 0 && !state_.exited) ::kill(pid_, number);
}

bool ChildProcess::wait_exit(int timeout_ms) {
    const auto deadline = std::chrono::steady_clock::now() + std::chrono::milliseconds(timeout_ms);
    while (!poll_exit().exited) {
        if (std::chrono::steady_clock::now() >= deadline) return false;
        ::poll(nullptr, 0, 5);
    }
    return true;
}

}  // namespace tenpak::jobs

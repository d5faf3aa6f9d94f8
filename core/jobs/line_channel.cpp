// SPDX-License-Identifier: Apache-2.0
#include "core/jobs/line_channel.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <cstdint>
#include <utility>

namespace tenpak::jobs {
namespace {

using Clock = std::chrono::steady_clock;

// Waits for `events`; false at the deadline. None: for ever.
Result<bool> wait_for(int fd, short events, std::optional<Clock::time_point> deadline) {
    for (;;) {
        int left = -1;
        if (deadline) left = static_cast<int>(std::max<std::int64_t>(0, std::chrono::duration_cast<std::chrono::milliseconds>(*deadline - Clock::now()).count()));
        pollfd p{fd, events, 0};
        const int n = ::poll(&p, 1, left);
        if (n > 0) return true;
        if (n == 0) return false;
        if (errno != EINTR) return errno_error("cannot wait for the worker's channel", {}, errno);
    }
}

}  // namespace

LineChannel::LineChannel(int fd) : fd_(fd) { ::fcntl(fd_, F_SETFL, ::fcntl(fd_, F_GETFL) | O_NONBLOCK); }
LineChannel::~LineChannel() { ::close(fd_); }

std::optional<std::string> LineChannel::take_line() {
    const std::size_t at = buffer_.find('\n', searched_);
    if (at == std::string::npos) {
        searched_ = buffer_.size();
        if (ended_) at_end_ = true;  // an unfinished last line is dropped: its writer died in the middle
        return std::nullopt;
    }
    std::string line = buffer_.substr(0, at);
    buffer_.erase(0, at + 1);
    searched_ = 0;
    return line;
}

Result<std::optional<std::string>> LineChannel::read_line(int timeout_ms) {
    const auto deadline = Clock::now() + std::chrono::milliseconds(timeout_ms);
    for (;;) {
        if (auto line = take_line()) return line;
        if (ended_) return std::optional<std::string>();
        TENPAK_ASSIGN(const bool ready, wait_for(fd_, POLLIN, deadline));
        if (!ready) return std::optional<std::string>();
        std::array<char, 65536> chunk;
        const ssize_t n = ::recv(fd_, chunk.data(), chunk.size(), 0);
        if (n > 0) {
            if (buffer_.size() + static_cast<std::size_t>(n) > kMaxLine) {
                return make_error(ErrorCode::kMalformed, "a line of more than " + std::to_string(kMaxLine) + " bytes on the worker's channel");
            }
            buffer_.append(chunk.data(), static_cast<std::size_t>(n));
        } else if (n == 0 || errno == ECONNRESET) {
            ended_ = true;
        } else if (errno != EINTR && errno != EAGAIN) {
            return errno_error("cannot read the worker's channel", {}, errno);
        }
    }
}

Status LineChannel::write_line(std::string_view line, int timeout_ms) {
    std::scoped_lock lock(write_mutex_);
    std::optional<Clock::time_point> deadline;
    if (timeout_ms >= 0) deadline = Clock::now() + std::chrono::milliseconds(timeout_ms);
    std::string text;
    text.reserve(line.size() + 1);
    text.append(line).push_back('\n');
    for (std::size_t sent = 0; sent < text.size();) {
        const ssize_t n = ::send(fd_, text.data() + sent, text.size() - sent, MSG_NOSIGNAL);
        if (n > 0) {
            sent += static_cast<std::size_t>(n);
        } else if (errno == EAGAIN) {
            TENPAK_ASSIGN(const bool ready, wait_for(fd_, POLLOUT, deadline));
            if (!ready) return make_error(ErrorCode::kTimeout, "the other side does not read the worker's channel");
        } else if (errno != EINTR) {
            return errno_error("cannot write to the worker's channel", {}, errno);
        }
    }
    return {};
}

}  // namespace tenpak::jobs

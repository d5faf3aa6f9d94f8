// SPDX-License-Identifier: Apache-2.0
// JSON lines over a socket, with caps: whatever the other side sends, memory is bounded and no call blocks longer than
// its timeout. One reader and any number of writers at a time.
#pragma once
#include <atomic>
#include <cstddef>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>

#include "core/base/error.h"

namespace tenpak::jobs {

/// Longest line either side accepts: a result with a million window figures fits.
inline constexpr std::size_t kMaxLine = 32u << 20;

class LineChannel {
   public:
    /// Takes `fd` over, makes it non-blocking.
    explicit LineChannel(int fd);
    ~LineChannel();
    LineChannel(const LineChannel&) = delete;
    LineChannel& operator=(const LineChannel&) = delete;

    int fd() const { return fd_; }
    /// The next line without its newline; nothing when none came within the timeout (0: only what is there) or at the end
    /// (see at_end()). kMalformed for a line longer than kMaxLine, kIo when the socket fails.
    Result<std::optional<std::string>> read_line(int timeout_ms);
    bool at_end() const { return at_end_; }  ///< the other side is gone and every line was read
    /// Adds the newline. kIo when the other side is gone; kTimeout when it does not take it in time: the channel is of no
    /// use then, as half a line may be out. A negative timeout waits for as long as the other side lives.
    Status write_line(std::string_view line, int timeout_ms);

   private:
    std::optional<std::string> take_line();
    int fd_;
    std::string buffer_;
    std::size_t searched_ = 0;  ///< bytes of buffer_ known to hold no newline
    bool ended_ = false;
    std::atomic<bool> at_end_ = false;
    std::mutex write_mutex_;
};

}  // namespace tenpak::jobs

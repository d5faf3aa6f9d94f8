// SPDX-License-Identifier: Apache-2.0
// Server-sent events (WHATWG HTML, section 9.2.6), as far as servers of language models use them: the data of each event.
#pragma once
#include <functional>
#include <string>
#include <string_view>

#include "core/base/error.h"

namespace tenpak::serving {

/// Feed bytes as they arrive, cut anywhere. Lines end with LF, CRLF or CR; fields other than "data" and comments are
/// passed over; an event that the stream's end cuts off is dropped. Not thread-safe.
class SseParser {
   public:
    using OnEvent = std::function<Status(std::string_view data)>;
    explicit SseParser(std::size_t max_event_bytes = 1u << 20) : cap_(max_event_bytes) {}
    /// kMalformed: an event or a line longer than the cap; or the error that on_event returned.
    Status push(std::string_view bytes, const OnEvent& on_event);
    /// Bytes that are kept for an unfinished event: at most twice the cap.
    std::size_t held() const { return line_.size() + data_.size(); }

   private:
    Status end_line(const OnEvent& on_event);
    std::size_t cap_;
    std::string line_, data_;
    bool has_data_ = false, after_cr_ = false, first_line_ = true;
};

}  // namespace tenpak::serving

// SPDX-License-Identifier: Apache-2.0
// Reads one streamed completion: when each piece of text came, and what the server counted.
#pragma once
#include <optional>
#include <string>
#include <vector>

#include "core/hub/http.h"
#include "core/serving/sse.h"

namespace tenpak::serving {

struct StreamedCompletion {
    /// Arrival of each event with text in it (or reasoning text): normally one a token.
    std::vector<hub::HttpClock::time_point> pieces;
    std::string text;
    std::string finish_reason;                              ///< empty where none was sent
    std::optional<std::uint64_t> prompt_tokens, completion_tokens;  ///< the server's usage counts
    bool done = false;                                      ///< "[DONE]" came
};

/// Not thread-safe. Every failure is kMalformed, or kIo for one that the server reports within the stream.
class CompletionStream {
   public:
    /// More pieces than the tokens asked for, by more than a few, are an endless stream: refused.
    explicit CompletionStream(std::uint32_t max_tokens) : max_tokens_(max_tokens) {}
    Status data(std::string_view bytes, hub::HttpClock::time_point at);
    /// After the last byte. kMalformed: no event at all, or the stream ended before it was complete.
    Result<StreamedCompletion> finish();

   private:
    Status event(std::string_view data, hub::HttpClock::time_point at);
    std::uint32_t max_tokens_;
    std::uint64_t events_ = 0;
    SseParser sse_;
    StreamedCompletion c_;
    std::string head_;  ///< first bytes, for the message where they are no event stream
};

}  // namespace tenpak::serving

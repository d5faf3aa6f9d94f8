// SPDX-License-Identifier: Apache-2.0
#include "core/serving/completion_stream.h"

#include "core/base/json.h"

namespace tenpak::serving {
namespace {

constexpr std::size_t kHead = 200;             // bytes of a wrong answer that the message repeats
constexpr std::size_t kTextPerToken = 4096;    // no vocabulary has longer tokens
constexpr std::uint64_t kSpare = 16;           // role, finish and usage events, and what servers send besides
constexpr JsonLimits kLimits{1u << 20, 32};

Error malformed(std::string what) { return make_error(ErrorCode::kMalformed, std::move(what), {}, "Is that an OpenAI-compatible server?"); }

/// A string of an object's member, empty where there is none (or null).
std::string text_of(const Json& object, const char* key) {
    if (!object.is_object()) return {};
    const auto it = object.find(key);
    return it != object.end() && it->is_string() ? it->get<std::string>() : std::string();
}

Result<std::optional<std::uint64_t>> count_of(const Json& usage, const char* key) {
    const auto it = usage.find(key);
    if (it == usage.end() || it->is_null()) return std::optional<std::uint64_t>();
    if (!it->is_number_unsigned()) return malformed(std::string("the usage count \"") + key + "\" is not a number of tokens");
    return std::optional<std::uint64_t>(it->get<std::uint64_t>());
}

}  // namespace

Status CompletionStream::data(std::string_view bytes, hub::HttpClock::time_point at) {
    if (head_.size() < kHead) head_.append(bytes.substr(0, kHead - head_.size()));
    return sse_.push(bytes, [&](std::string_view d) { return event(d, at); });
}

Status CompletionStream::event(std::string_view data, hub::HttpClock::time_point at) {
    if (++events_ > 4 * (std::uint64_t{max_tokens_} + kSpare)) return malformed("the server goes on sending after " + std::to_string(max_tokens_) + " tokens");
    if (data == "[DONE]") {
        c_.done = true;
        return {};
    }
    TENPAK_ASSIGN(const Json j, parse_json(data, "event " + std::to_string(events_) + " of the stream", kLimits));
    if (!j.is_object()) return malformed("an event of the stream is no JSON object");
    if (const auto e = j.find("error"); e != j.end() && !e->is_null()) {
        const std::string said = e->is_string() ? e->get<std::string>() : text_of(*e, "message");
        return make_error(ErrorCode::kIo, "the server reports an error within the stream: " + said.substr(0, 300));
    }
    if (const auto u = j.find("usage"); u != j.end() && u->is_object()) {
        TENPAK_ASSIGN(const auto prompt, count_of(*u, "prompt_tokens"));
        TENPAK_ASSIGN(const auto completion, count_of(*u, "completion_tokens"));
        if (prompt) c_.prompt_tokens = prompt;
        if (completion) c_.completion_tokens = completion;
        // One more than asked for is what counting the end-of-text token gives.
        if (completion && *completion > std::uint64_t{max_tokens_} + 1) {
            return malformed("the server counts " + std::to_string(*completion) + " tokens where " + std::to_string(max_tokens_) + " were asked for");
        }
    }
    const auto choices = j.find("choices");
    if (choices == j.end() || !choices->is_array() || choices->empty()) return {};
    const Json& choice = choices->front();
    if (const std::string r = text_of(choice, "finish_reason"); !r.empty()) c_.finish_reason = r.substr(0, 40);
    std::string text = text_of(choice, "text");
    if (choice.is_object() && choice.contains("delta")) {
        const Json& delta = choice["delta"];
        // Thinking models: vLLM and SGLang send what they think under one of these names.
        text += text_of(delta, "reasoning_content") + text_of(delta, "reasoning") + text_of(delta, "content");
    }
    if (text.empty()) return {};
    c_.text += text;
    c_.pieces.push_back(at);
    if (c_.pieces.size() > std::uint64_t{max_tokens_} + kSpare || c_.text.size() > kTextPerToken * (max_tokens_ + kSpare)) {
        return malformed("the server sends more text than " + std::to_string(max_tokens_) + " tokens have");
    }
    return {};
}

Result<StreamedCompletion> CompletionStream::finish() {
    if (events_ == 0) {
        const bool json = head_.find_first_not_of(" \t\r\n") != std::string::npos && head_[head_.find_first_not_of(" \t\r\n")] == '{';
        if (json) return make_error(ErrorCode::kUnsupported, "the server does not stream: it answered with one JSON document", {}, "Latency between tokens can only be measured on a stream");
        return malformed(head_.empty() ? "the server's answer is empty" : "the server's answer is no event stream");
    }
    // Not every server ends with [DONE], but then the last event has a reason.
    if (!c_.done && c_.finish_reason.empty()) return make_error(ErrorCode::kIo, "the stream ended before the completion was finished");
    return std::move(c_);
}

}  // namespace tenpak::serving

// SPDX-License-Identifier: Apache-2.0
#include "core/serving/server_perplexity.h"

#include <algorithm>
#include <cmath>
#include <new>
#include <optional>

#include "core/evaluate/statistics.h"

namespace tenpak::serving {
namespace {

constexpr const char* kPlain = "The quick brown fox jumps over the lazy dog and runs into the forest where";
constexpr std::string_view kReplacement = "\xEF\xBF\xBD";  // what a tokenizer decodes half a character to
constexpr std::uint32_t kMostTrimmed = 3;                  // bytes of a character besides its first
constexpr std::uint64_t kBytesPerToken = 4096;             // of an answer: text, id, rank and the likeliest token beside it

struct WindowPrompt {
    Prompt prompt;
    std::uint32_t front = 0, back = 0;  ///< tokens left out, because they are parts of characters
};

WindowPrompt window_prompt(const model::Tokenizer& tokenizer, std::span<const model::Token> tokens, LogprobsBy by) {
    WindowPrompt w;
    if (by == LogprobsBy::kEchoText) {
        std::string& text = w.prompt.text;
        text = tokenizer.decode(tokens);
        for (; w.front < kMostTrimmed && tokens.size() > 2 && text.starts_with(kReplacement); ++w.front) {
            tokens = tokens.subspan(1);
            text = tokenizer.decode(tokens);
        }
        for (; w.back < kMostTrimmed && tokens.size() > 2 && text.ends_with(kReplacement); ++w.back) {
            tokens = tokens.first(tokens.size() - 1);
            text = tokenizer.decode(tokens);
        }
    }
    w.prompt.tokens.assign(tokens.begin(), tokens.end());
    return w;
}

class Measurement {
   public:
    Measurement(const Endpoint& endpoint, hub::HttpClient& client, const model::Tokenizer& tokenizer, std::span<const model::Token> text, const evaluate::WindowPlan& plan, std::uint32_t concurrency)
        : endpoint_(endpoint), client_(client), tokenizer_(tokenizer), text_(text), plan_(plan), concurrency_(concurrency), sums_(plan.windows.size()), counts_(plan.windows.size()) {}

    /// The first way that the server offers.
    Status choose(const JobContext& ctx) {
        TENPAK_ASSIGN(const auto tokens, tokenizer_.encode(kPlain, false));
        const Prompt plain{kPlain, tokens};
        std::optional<Error> why;
        for (const LogprobsBy by : {LogprobsBy::kPromptLogprobs, LogprobsBy::kEchoTokens, LogprobsBy::kEchoText}) {
            hub::HttpRequest r = endpoint_.post(logprobs_body(endpoint_, plain, by));
            TENPAK_ASSIGN(const hub::HttpResponse response, client_.fetch(std::move(r), ctx));
            if (response.status >= 400) {
                Error e = hub::http_status_error(response, endpoint_.completions_url(), endpoint_.token);
                if (e.code != ErrorCode::kIo) return e;  // no key, no such model: no way will help
                if (!why || why->code != ErrorCode::kUnsupported || by == LogprobsBy::kEchoText) {
                    why = make_error(ErrorCode::kUnsupported, "the server gives no log-probabilities of a prompt: " + e.what, e.where,
                                     "Perplexity needs vLLM (prompt_logprobs), or echo with logprobs: SGLang, llama-cpp-python with --logits_all true");
                }
                continue;
            }
            auto answer = read_prompt_logprobs(response.body, plain, by, endpoint_.completions_url());
            Status s = answer.ok() ? check_alignment(*answer, kPlain, endpoint_.completions_url()) : Status(answer.error());
            if (s.ok()) {
                if (by == LogprobsBy::kEchoText && plan_.bos >= 0) {
                    return make_error(ErrorCode::kUnsupported, "the server takes text only, and this convention puts a BOS in place of each window's first token", endpoint_.completions_url(),
                                      "Use --convention windows");
                }
                result_.by = by;
                return {};
            }
            why = std::move(s).error();
        }
        return *why;
    }

    Result<ServerPerplexity> run(const JobContext& ctx) {
        const std::size_t all = plan_.windows.size();
        while (done_ < all) {
            while (sent_ < all && client_.active() < concurrency_ && !failure_) TENPAK_RETURN_IF_ERROR(send(sent_++));
            TENPAK_RETURN_IF_ERROR(client_.run(ctx));
            if (failure_) return *failure_;
            ctx.report({"perplexity", done_, all, "windows", {}});
        }
        return summary();
    }

   private:
    Status send(std::size_t index) {
        const evaluate::Window& w = plan_.windows[index];
        WindowPrompt window = window_prompt(tokenizer_, text_.subspan(w.begin, w.length), result_.by);
        if (plan_.bos >= 0) window.prompt.tokens.front() = plan_.bos;
        result_.trimmed_tokens += window.front + window.back;
        // Targets count from the window's first token that is fed, which nothing predicts.
        const std::size_t first = window.front + 1 >= w.first ? 1 : w.first - window.front;
        hub::HttpRequest r = endpoint_.post(logprobs_body(endpoint_, window.prompt, result_.by));
        r.limits.max_body = (1u << 20) + kBytesPerToken * w.length;
        r.on_done = [this, index, first, p = std::move(window.prompt)](Result<hub::HttpResponse> response) {
            ++done_;
            const Status s = score(index, first, p, std::move(response));
            if (s.ok() || failure_) return;
            failure_ = s.error();
            failure_->where = endpoint_.completions_url() + ", window " + std::to_string(index + 1);
        };
        const auto id = client_.start(std::move(r));
        return id.ok() ? Status() : Status(id.error());
    }

    Status score(std::size_t index, std::size_t first, const Prompt& prompt, Result<hub::HttpResponse> response) {
        TENPAK_ASSIGN(const hub::HttpResponse answer, std::move(response));
        if (answer.status >= 400) {
            Error e = hub::http_status_error(answer, endpoint_.completions_url(), endpoint_.token);
            if (e.code == ErrorCode::kIo) e.hint = "A smaller --context leaves room for the one token that is generated besides";
            return e;
        }
        TENPAK_ASSIGN(const PromptLogprobs scored, read_prompt_logprobs(answer.body, prompt, result_.by, endpoint_.completions_url()));
        std::span<const double> values = scored.logprobs;
        const std::size_t local = prompt.tokens.size();
        if (result_.by == LogprobsBy::kEchoText) {
            // A BOS is the entry before the text's first (vLLM), or counted but not listed (llama-cpp-python).
            const bool listed = values.size() == local + 1 && scored.usage_prompt_tokens == values.size() && !scored.tokens.empty() && !prompt.text.starts_with(scored.tokens.front());
            if (listed) values = values.subspan(1);
            if (listed || scored.usage_prompt_tokens == scored.logprobs.size() + 1) result_.server_adds_bos = true;
            if (values.size() != local) {
                if (first != 1) return make_error(ErrorCode::kMismatch, "the server makes other tokens of the text than the local tokenizer: this convention needs the same", {}, "Use the convention of whole windows");
                ++result_.windows_retokenized;
            }
        }
        for (std::size_t i = first; i < values.size(); ++i) {
            if (std::isnan(values[i])) continue;
            sums_[index] -= values[i];
            ++counts_[index];
        }
        if (counts_[index] == 0) return make_error(ErrorCode::kMalformed, "the server scored no token");
        return {};
    }

    ServerPerplexity summary() {
        ServerPerplexity r = result_;
        double total = 0;
        for (std::size_t i = 0; i < sums_.size(); ++i) {
            r.window_nll.push_back(sums_[i] / static_cast<double>(counts_[i]));
            total += sums_[i];
            r.tokens += counts_[i];
        }
        r.windows = static_cast<std::uint32_t>(sums_.size());
        r.context = plan_.context;
        r.convention = plan_.convention;
        r.nll = total / static_cast<double>(r.tokens);
        r.perplexity = std::exp(r.nll);
        r.standard_error = r.perplexity * evaluate::mean_and_error(r.window_nll).standard_error;  // delta method
        return r;
    }

    const Endpoint& endpoint_;
    hub::HttpClient& client_;
    const model::Tokenizer& tokenizer_;
    std::span<const model::Token> text_;
    const evaluate::WindowPlan& plan_;
    std::uint32_t concurrency_;
    ServerPerplexity result_;
    std::vector<double> sums_;
    std::vector<std::uint64_t> counts_;
    std::size_t sent_ = 0, done_ = 0;
    std::optional<Error> failure_;
};

}  // namespace

std::string ServerPerplexity::alignment() const {
    if (by != LogprobsBy::kEchoText) return "token ids of the local tokenizer";
    std::string s = "text, tokenized by the server";
    s += windows_retokenized == 0 ? " into as many tokens as locally" : "; " + std::to_string(windows_retokenized) + " of " + std::to_string(windows) + " windows became other tokens than locally";
    if (server_adds_bos) s += ", BOS before each window";
    if (trimmed_tokens != 0) s += ", " + std::to_string(trimmed_tokens) + " tokens of cut characters left out";
    return s;
}

Result<ServerPerplexity> server_perplexity(const Endpoint& endpoint, hub::HttpClient& client, const model::Tokenizer& tokenizer, std::span<const model::Token> text,
                                           const evaluate::WindowPlan& plan, std::uint32_t concurrency, const JobContext& ctx) {
    if (endpoint.api == Api::kChat) return make_error(ErrorCode::kUnsupported, "a chat endpoint gives no log-probabilities of a text", endpoint.completions_url(), "Name the server or its /v1/completions");
    if (plan.windows.empty() || concurrency == 0) return make_error(ErrorCode::kInvalidArgument, "there is no window to measure");
    for (const evaluate::Window& w : plan.windows) {
        if (w.length < 2 || w.first == 0 || w.first >= w.length || w.begin > text.size() || w.length > text.size() - w.begin) return make_error(ErrorCode::kInvalidArgument, "a window lies outside the text");
    }
    if (client.active() != 0) return make_error(ErrorCode::kInternal, "the client is busy");
    try {
        const auto start = hub::HttpClock::now();
        Measurement m(endpoint, client, tokenizer, text, plan, concurrency);
        TENPAK_RETURN_IF_ERROR(m.choose(ctx));
        auto r = m.run(ctx);
        if (!r.ok()) {
            client.cancel_all();  // their callbacks refer to `m`
            return r;
        }
        r->seconds = std::chrono::duration<double>(hub::HttpClock::now() - start).count();
        if (!std::isfinite(r->perplexity)) return make_error(ErrorCode::kNumeric, "the perplexity is not a finite number");
        return r;
    } catch (const std::bad_alloc&) {
        client.cancel_all();
        return make_error(ErrorCode::kOutOfMemory, "not enough memory to measure perplexity", {}, "Use a smaller --context");
    }
}

}  // namespace tenpak::serving

// SPDX-License-Identifier: Apache-2.0
#include "core/serving/load_run.h"

#include <algorithm>
#include <memory>
#include <new>
#include <optional>

namespace tenpak::serving {
namespace {

using Clock = hub::HttpClock;

// Bytes of one event around its text: id, model name, logprobs, usage. Servers need 200 to 600.
constexpr std::uint64_t kBytesPerToken = 16u << 10;

/// What one request needs while it runs.
struct Running {
    explicit Running(std::uint32_t max_tokens) : stream(max_tokens) {}
    CompletionStream stream;
    RequestRecord record;
};

class Load {
   public:
    Load(const Endpoint& endpoint, hub::HttpClient& client, const Dialect& dialect, const LoadPlan& plan, PromptMaker& prompts)
        : endpoint_(endpoint), client_(client), dialect_(dialect), plan_(plan), prompts_(prompts), random_(plan.seed) {}

    Result<std::vector<RequestRecord>> run(const JobContext& ctx) {
        begin_ = Clock::now();
        while (records_.size() < plan_.requests) {
            while (sent_ < plan_.requests && in_flight_ < plan_.concurrency && due()) TENPAK_RETURN_IF_ERROR(send());
            TENPAK_RETURN_IF_ERROR(client_.run(ctx, patience()));
            if (plan_.give_up_after != 0 && failures_ >= plan_.give_up_after) return *records_.back().error;
            if (records_.size() != reported_) {
                reported_ = records_.size();
                ctx.report({"requests", reported_, plan_.requests, "requests", "concurrency " + std::to_string(plan_.concurrency)});
            }
        }
        return std::move(records_);
    }

   private:
    double now() const { return seconds(Clock::now()); }
    double seconds(Clock::time_point t) const { return std::chrono::duration<double>(t - begin_).count(); }
    bool due() const { return plan_.request_rate <= 0 || next_arrival_ <= now(); }
    std::chrono::milliseconds patience() const {
        if (plan_.request_rate <= 0 || sent_ == plan_.requests || in_flight_ == plan_.concurrency) return std::chrono::milliseconds(20);
        return std::chrono::milliseconds(static_cast<int>(std::clamp((next_arrival_ - now()) * 1e3, 0.0, 20.0)));
    }

    Status send() {
        TENPAK_ASSIGN(const Prompt prompt, prompts_.next());
        auto state = std::make_shared<Running>(plan_.generate);
        state->record.prompt_tokens = prompt.tokens.size();
        hub::HttpRequest r = endpoint_.post(stream_body(endpoint_, prompt, plan_.generate, dialect_));
        r.headers.emplace_back("Accept", "text/event-stream");
        r.limits.max_body = (1u << 20) + kBytesPerToken * plan_.generate;
        r.on_data = [state](std::string_view bytes, Clock::time_point at) { return state->stream.data(bytes, at); };
        r.on_done = [this, state](Result<hub::HttpResponse> response) { done(*state, std::move(response)); };
        state->record.arrival = plan_.request_rate > 0 ? next_arrival_ : now();
        if (plan_.request_rate > 0) next_arrival_ += std::exponential_distribution<double>(plan_.request_rate)(random_);
        const auto id = client_.start(std::move(r));
        if (!id.ok()) return id.error();
        ++sent_;
        ++in_flight_;
        return {};
    }

    void done(Running& state, Result<hub::HttpResponse> response) {
        --in_flight_;
        RequestRecord& r = state.record;
        Status s = complete(state, std::move(response));
        if (s.ok()) {
            failures_ = 0;
        } else {
            r.error = std::move(s).error();
            r.pieces.clear();
            r.end = now();
            ++failures_;
        }
        records_.push_back(std::move(r));
    }

    Status complete(Running& state, Result<hub::HttpResponse> response) {
        TENPAK_ASSIGN(const hub::HttpResponse answer, std::move(response));
        if (answer.status >= 400) return hub::http_status_error(answer, endpoint_.completions_url(), endpoint_.token);
        auto finished = state.stream.finish();
        if (!finished.ok()) {
            Error e = std::move(finished).error();
            e.where = endpoint_.completions_url();
            return e;
        }
        const StreamedCompletion& c = *finished;
        if (c.pieces.empty()) return make_error(ErrorCode::kMalformed, "the server generated no text", endpoint_.completions_url());
        RequestRecord& r = state.record;
        for (const auto& p : c.pieces) r.pieces.push_back(seconds(p));
        r.end = r.pieces.back();
        r.finish_reason = c.finish_reason;
        // A count of zero beside text is no count.
        r.counted_by_server = c.completion_tokens.value_or(0) > 0;
        r.tokens = r.counted_by_server ? *c.completion_tokens : c.pieces.size();
        r.prompt_counted_by_server = c.prompt_tokens.value_or(0) > 0;
        if (r.prompt_counted_by_server) r.prompt_tokens = *c.prompt_tokens;
        return {};
    }

    const Endpoint& endpoint_;
    hub::HttpClient& client_;
    const Dialect& dialect_;
    const LoadPlan& plan_;
    PromptMaker& prompts_;
    std::mt19937_64 random_;
    Clock::time_point begin_;
    std::vector<RequestRecord> records_;
    std::uint64_t sent_ = 0, in_flight_ = 0, failures_ = 0, reported_ = 0;
    double next_arrival_ = 0;
};

/// Another wording may be taken; a missing key, a wrong address or a full queue stay what they are.
bool worth_another_try(const Error& e) { return e.code == ErrorCode::kIo && e.what.starts_with("the server answered with status ") && !e.what.starts_with("the server answered with status 429"); }

}  // namespace

Result<std::vector<RequestRecord>> run_load(const Endpoint& endpoint, hub::HttpClient& client, const Dialect& dialect, const LoadPlan& plan, PromptMaker& prompts,
                                            const JobContext& ctx) {
    const std::size_t before = client.active();
    if (before != 0) return make_error(ErrorCode::kInternal, "the client is busy");
    try {
        Load load(endpoint, client, dialect, plan, prompts);
        auto records = load.run(ctx);
        if (!records.ok()) client.cancel_all();  // their callbacks refer to `load`
        return records;
    } catch (const std::bad_alloc&) {
        client.cancel_all();
        return make_error(ErrorCode::kOutOfMemory, "not enough memory for the record of the requests");
    }
}

Result<Dialect> find_dialect(const Endpoint& endpoint, hub::HttpClient& client, PromptMaker& prompts, const JobContext& ctx) {
    std::optional<Error> refusal;
    const bool ids = endpoint.api == Api::kCompletions && prompts.token_ids();
    for (const Dialect d : {Dialect{true, true, true}, Dialect{false, true, true}, Dialect{true, false, true}, Dialect{false, false, true}, Dialect{false, false, false}}) {
        if (d.token_prompts && !ids) continue;
        LoadPlan one;
        one.generate = 2;
        TENPAK_ASSIGN(const auto records, run_load(endpoint, client, d, one, prompts, ctx));
        if (!records.front().error) return d;
        refusal = records.front().error;
        if (!worth_another_try(*refusal)) break;
    }
    return *refusal;
}

}  // namespace tenpak::serving

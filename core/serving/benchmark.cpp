// SPDX-License-Identifier: Apache-2.0
#include "core/serving/benchmark.h"

#include <algorithm>
#include <cmath>
#include <new>

#include "core/evaluate/statistics.h"

namespace tenpak::serving {
namespace {

constexpr std::uint32_t kMostConcurrency = 1024;
constexpr std::uint64_t kLeastRounds = 3;      // a coefficient of variation of fewer says nothing
constexpr std::uint32_t kWarmTokens = 16;
constexpr std::size_t kMessages = 5;

Status check(const BenchmarkOptions& o) {
    const auto bad = [](const char* what) { return make_error(ErrorCode::kInvalidArgument, what); };
    if (o.concurrency.empty()) return bad("a concurrency of at least one request is needed");
    for (const std::uint32_t c : o.concurrency) {
        if (c == 0 || c > kMostConcurrency) return bad("a concurrency must be 1 to 1024 requests");
    }
    if (o.prompt == 0 || o.prompt > (1u << 20)) return bad("a prompt needs 1 to 1048576 tokens");
    if (o.generate < 2 || o.generate > (1u << 20)) return bad("at least 2 tokens must be generated: latency is the time between two");
    if (o.samples == 0 || o.samples > 10'000'000) return bad("1 to 10000000 samples can be taken");
    if (!(o.request_rate >= 0) || o.request_rate > 1e5) return bad("a request rate must be 0 to 100000 a second");
    return {};
}

std::uint64_t divide_up(std::uint64_t a, std::uint64_t b) { return (a + b - 1) / b; }

LoadPlan plan_of(const BenchmarkOptions& o, std::uint32_t concurrency) {
    LoadPlan p;
    p.concurrency = concurrency;
    const std::uint64_t rounds = std::max(kLeastRounds, divide_up(o.samples, std::uint64_t{concurrency} * (o.generate - 1)));
    p.requests = rounds * concurrency;
    p.request_rate = o.request_rate;
    p.generate = o.generate;
    p.seed = o.seed;
    p.give_up_after = std::max<std::uint64_t>(8, 2 * std::uint64_t{concurrency});
    return p;
}

/// Tokens per second of each round: the requests between every `size`-th end and the next.
std::vector<double> round_rates(const std::vector<RequestRecord>& records, std::uint32_t size, double begin) {
    std::vector<double> rates;
    double from = begin;
    for (std::size_t at = 0; at + size <= records.size(); at += size) {
        double tokens = 0;
        for (std::size_t i = at; i < at + size; ++i) tokens += static_cast<double>(records[i].tokens);
        const double to = records[at + size - 1].end;
        if (to > from) rates.push_back(tokens / (to - from));
        from = to;
    }
    return rates;
}

}  // namespace

const char* counts_from_name(CountsFrom c) {
    switch (c) {
        case CountsFrom::kServer: return "usage";
        case CountsFrom::kPieces: return "chunks";
        case CountsFrom::kBoth: return "mixed";
    }
    return "";
}

LevelTiming summarize(const std::vector<RequestRecord>& records, std::uint32_t concurrency) {
    LevelTiming t;
    t.concurrency = concurrency;
    std::vector<double> latency, tpot, ttft, e2e;
    double begin = INFINITY, end = 0;
    for (const RequestRecord& r : records) {
        begin = std::min(begin, r.arrival);
        end = std::max(end, r.end);
        if (r.error) {
            ++t.errors;
            const std::string message = r.error->what;
            if (t.error_messages.size() < kMessages || t.error_messages.contains(message)) ++t.error_messages[message];
            continue;
        }
        ++t.requests;
        if (!r.finish_reason.empty() && (t.finish_reasons.size() < kMessages || t.finish_reasons.contains(r.finish_reason))) ++t.finish_reasons[r.finish_reason];
        t.generated_tokens += r.tokens;
        t.prompt_tokens += r.prompt_tokens;
        t.pieces += r.pieces.size();
        ttft.push_back(1e3 * r.ttft());
        e2e.push_back(1e3 * r.e2e());
        if (r.tokens > 1) tpot.push_back(1e3 * r.tpot());
        for (std::size_t i = 1; i < r.pieces.size(); ++i) latency.push_back(1e3 * (r.pieces[i] - r.pieces[i - 1]));
    }
    t.samples = latency.size();
    t.latency_ms = evaluate::percentiles(std::move(latency));
    t.tpot_ms = evaluate::percentiles(std::move(tpot));
    t.ttft_ms = evaluate::percentiles(std::move(ttft));
    t.e2e_ms = evaluate::percentiles(std::move(e2e));
    if (!(end > begin)) return t;
    t.seconds = end - begin;
    t.output_tps = static_cast<double>(t.generated_tokens) / t.seconds;
    t.requests_per_second = static_cast<double>(t.requests) / t.seconds;
    const auto rates = round_rates(records, concurrency, begin);
    t.rounds = static_cast<std::uint32_t>(rates.size());
    const evaluate::MeanError mean = evaluate::mean_and_error(rates);
    if (rates.size() > 1 && mean.mean > 0) t.variation = mean.standard_error * std::sqrt(static_cast<double>(rates.size())) / mean.mean;
    return t;
}

Result<BenchmarkResult> measure_endpoint(const Endpoint& endpoint, hub::HttpClient& client, std::shared_ptr<const model::Tokenizer> tokenizer, const BenchmarkOptions& options,
                                         const JobContext& ctx) {
    TENPAK_RETURN_IF_ERROR(check(options));
    try {
        BenchmarkResult result;
        const bool local = tokenizer != nullptr;
        PromptMaker prompts(std::move(tokenizer), options.prompt, options.seed);
        TENPAK_ASSIGN(result.dialect, find_dialect(endpoint, client, prompts, ctx));
        std::uint64_t all = 0, by_server = 0, prompt_by_server = 0;
        for (const std::uint32_t concurrency : options.concurrency) {
            const LoadPlan plan = plan_of(options, concurrency);
            if (options.warm_up) {
                LoadPlan warm = plan;
                warm.requests = concurrency;
                warm.request_rate = 0;
                warm.generate = std::min(plan.generate, kWarmTokens);
                TENPAK_ASSIGN(const auto ignored, run_load(endpoint, client, result.dialect, warm, prompts, ctx));
            }
            TENPAK_ASSIGN(const auto records, run_load(endpoint, client, result.dialect, plan, prompts, ctx));
            std::vector<double> prefill;
            const std::optional<Error>* failure = nullptr;
            for (const RequestRecord& r : records) {
                if (r.error) {
                    failure = &r.error;
                    continue;
                }
                ++all;
                by_server += r.counted_by_server ? 1 : 0;
                prompt_by_server += r.prompt_counted_by_server ? 1 : 0;
                if (concurrency == 1 && options.request_rate <= 0 && r.prompt_tokens > 0 && r.ttft() > 0) prefill.push_back(static_cast<double>(r.prompt_tokens) / r.ttft());
            }
            LevelTiming level = summarize(records, concurrency);
            if (level.requests == 0) return **failure;
            if (!prefill.empty()) result.prefill_tps = evaluate::percentiles(std::move(prefill)).p50;
            result.levels.push_back(std::move(level));
        }
        result.counts = by_server == all ? CountsFrom::kServer : by_server == 0 ? CountsFrom::kPieces : CountsFrom::kBoth;
        result.prompt_counts = prompt_by_server == all ? "usage" : local ? "tokenizer" : "words";
        return result;
    } catch (const std::bad_alloc&) {
        return make_error(ErrorCode::kOutOfMemory, "not enough memory for the measurement", {}, "Ask for fewer --samples");
    }
}

}  // namespace tenpak::serving

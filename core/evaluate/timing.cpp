// SPDX-License-Identifier: Apache-2.0
#include "core/evaluate/timing.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <new>
#include <random>

#include "core/evaluate/bandwidth.h"
#include "core/evaluate/statistics.h"

namespace tenpak::evaluate {
namespace {

using Clock = std::chrono::steady_clock;
double seconds_since(Clock::time_point start) { return std::chrono::duration<double>(Clock::now() - start).count(); }

constexpr int kPrefillRounds = 3;
constexpr std::uint32_t kRoundSteps = 64;  // decode steps a round unless the caller says
constexpr std::uint64_t kWarmSteps = 4;
constexpr std::size_t kProbeBytes = 256u << 20;
constexpr std::uint64_t kMinSamples = 20;  // fewer steps than this are measured only when the user stops

std::vector<model::Token> random_prompt(std::uint32_t length, std::uint32_t vocab) {
    std::mt19937 rng(12345);
    std::vector<model::Token> tokens(length);
    for (auto& t : tokens) t = static_cast<model::Token>(rng() % vocab);
    return tokens;
}

/// The likeliest token of each row: what the next step is fed with.
void next_tokens(std::span<const float> logits, std::size_t vocab, std::vector<model::Token>& out) {
    for (std::size_t s = 0; s < out.size(); ++s) {
        const auto row = logits.subspan(s * vocab, vocab);
        out[s] = static_cast<model::Token>(std::max_element(row.begin(), row.end()) - row.begin());
    }
}

class Run {
   public:
    Run(model::Transformer& model, const TimingOptions& options, const JobContext& ctx) : model_(model), options_(options), ctx_(ctx) {
        const std::uint32_t room = model.config().max_positions - options.prompt;
        steps_ = std::min(room, options.generate != 0 ? options.generate : kRoundSteps);
        prompt_ = random_prompt(options.prompt, model.config().vocab);
    }

    /// Median time of a prompt's forward pass up to its first token.
    Status prefill(TimingResult& r) {
        model::KvCache cache(model_.config(), model_.backend(), 1, options_.prompt);
        std::vector<double> times;
        for (int i = 0; i < kPrefillRounds + 1; ++i) {
            TENPAK_RETURN_IF_ERROR(ctx_.check());
            cache.clear();
            const model::SequenceChunk chunk{0, prompt_};
            const auto start = Clock::now();
            TENPAK_RETURN_IF_ERROR(model_.forward({&chunk, 1}, cache, model::LogitsOf::kLastOfChunk, logits_));
            if (i > 0) times.push_back(seconds_since(start));  // the first one warms up
        }
        std::sort(times.begin(), times.end());
        r.time_to_first_token_ms = quantile(times, 0.5) * 1e3;
        r.prefill_tps = options_.prompt / quantile(times, 0.5);
        return {};
    }

    Result<BatchTiming> decode(std::uint32_t batch, double max_seconds, std::uint64_t& memory) {
        model::KvCache cache(model_.config(), model_.backend(), batch, options_.prompt + steps_);
        memory = std::max(memory, cache.bytes());
        BatchTiming t;
        t.batch = batch;
        // Every sequence gets the prompt by itself: one long batch of prompts would need memory that decoding does not.
        for (std::uint32_t s = 0; s < batch; ++s) {
            const model::SequenceChunk chunk{s, prompt_};
            TENPAK_RETURN_IF_ERROR(model_.forward({&chunk, 1}, cache, model::LogitsOf::kNone, logits_));
        }
        std::vector<model::Token> tokens(batch, prompt_.back());
        std::vector<double> latencies, rounds;
        const auto begin = Clock::now();
        TENPAK_RETURN_IF_ERROR(round(cache, tokens, std::min<std::uint64_t>(kWarmSteps, steps_), nullptr));
        while (latencies.size() < options_.samples) {
            if (max_seconds > 0 && seconds_since(begin) > max_seconds && latencies.size() >= kMinSamples) break;
            const std::size_t before = latencies.size();
            const auto start = Clock::now();
            TENPAK_RETURN_IF_ERROR(round(cache, tokens, std::min<std::uint64_t>(steps_, options_.samples - before), &latencies));
            rounds.push_back(static_cast<double>(latencies.size() - before) * batch / seconds_since(start));
            ctx_.report({"timing", latencies.size(), options_.samples, "steps", "batch " + std::to_string(batch)});
        }
        t.samples = latencies.size();
        double total = 0;
        for (double& l : latencies) {
            total += l;
            l *= 1e3;
        }
        t.decode_tps = static_cast<double>(t.samples) * batch / total;
        t.latency_ms = percentiles(latencies);
        const MeanError mean = mean_and_error(rounds);
        if (rounds.size() > 1) t.variation = mean.standard_error * std::sqrt(static_cast<double>(rounds.size())) / mean.mean;
        return t;
    }

   private:
    Status round(model::KvCache& cache, std::vector<model::Token>& tokens, std::uint64_t steps, std::vector<double>* latencies) {
        for (std::uint32_t s = 0; s < tokens.size(); ++s) cache.truncate(s, options_.prompt);
        std::vector<model::SequenceChunk> chunks;
        for (std::uint32_t s = 0; s < tokens.size(); ++s) chunks.push_back({s, std::span(tokens).subspan(s, 1)});
        for (std::uint64_t i = 0; i < steps; ++i) {
            TENPAK_RETURN_IF_ERROR(ctx_.check());
            const auto start = Clock::now();
            TENPAK_RETURN_IF_ERROR(model_.forward(chunks, cache, model::LogitsOf::kLastOfChunk, logits_));
            next_tokens(logits_, model_.config().vocab, tokens);
            if (latencies != nullptr) latencies->push_back(seconds_since(start));
        }
        return {};
    }

    model::Transformer& model_;
    const TimingOptions& options_;
    const JobContext& ctx_;
    std::uint32_t steps_ = 0;
    std::vector<model::Token> prompt_;
    std::vector<float> logits_;
};

}  // namespace

Percentiles percentiles(std::vector<double> values) {
    if (values.empty()) return {};
    std::sort(values.begin(), values.end());
    return {quantile(values, 0.5), quantile(values, 0.95), quantile(values, 0.99)};
}

Result<TimingResult> measure_timing(model::Transformer& model, compute::Backend& backend, const TimingOptions& options, const JobContext& ctx) {
    const std::uint32_t limit = model.config().max_positions;
    if (options.batches.empty() || *std::min_element(options.batches.begin(), options.batches.end()) == 0) {
        return make_error(ErrorCode::kInvalidArgument, "a batch of at least one sequence is needed");
    }
    if (options.prompt == 0 || options.samples == 0) return make_error(ErrorCode::kInvalidArgument, "a prompt of at least one token and one sample are needed");
    if (options.prompt >= limit || options.generate > limit - options.prompt) {
        return make_error(ErrorCode::kInvalidArgument, "a prompt of " + std::to_string(options.prompt) + " and " + std::to_string(std::max(1u, options.generate)) +
                          " generated tokens do not fit the model's context of " + std::to_string(limit));
    }
    try {
        model.set_stop(ctx.stop);
        TimingResult r;
        r.backend = backend.name();
        r.device = backend.description();
        ctx.report({"timing", 0, options.samples, "steps", "memory bandwidth"});
        TENPAK_ASSIGN(r.read_bandwidth, read_bandwidth(backend.threads(), kProbeBytes, 3));
        TENPAK_RETURN_IF_ERROR(ctx.check());
        Run run(model, options, ctx);
        TENPAK_RETURN_IF_ERROR(run.prefill(r));
        std::uint64_t cache_bytes = 0;
        for (const std::uint32_t batch : options.batches) {
            const double seconds = options.max_seconds / static_cast<double>(options.batches.size());
            TENPAK_ASSIGN(const BatchTiming t, run.decode(batch, seconds, cache_bytes));
            r.batches.push_back(t);
        }
        // The machine may have been busy at one of the two moments: the better figure is what it can do.
        TENPAK_ASSIGN(const double again, read_bandwidth(backend.threads(), kProbeBytes, 3));
        r.read_bandwidth = std::max(r.read_bandwidth, again);
        const BatchTiming& first = r.batches.front();
        r.bandwidth_fraction = static_cast<double>(model.step_bytes()) * first.decode_tps / first.batch / r.read_bandwidth;
        r.memory_bytes = model.weight_bytes() + cache_bytes + model.workspace_bytes() + backend.workspace_bytes();
        return r;
    } catch (const std::bad_alloc&) {
        return make_error(ErrorCode::kOutOfMemory, "not enough memory for this batch and prompt", {}, "Use a smaller --batch or --prompt");
    }
}

}  // namespace tenpak::evaluate

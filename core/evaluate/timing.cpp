// SPDX-License-Identifier: Apache-2.0
#include "core/evaluate/timing.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <new>
#include <optional>

#include "core/compute/devices.h"
#include "core/evaluate/bandwidth.h"
#include "core/evaluate/decode_rounds.h"
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

/// Of the memory that the backend's weights lie in.
Result<double> memory_bandwidth(compute::Backend& backend) {
    compute::DeviceMemory* const memory = compute::device_memory(backend);
    if (memory == nullptr) return read_bandwidth(backend.threads(), kProbeBytes, 3);
    const double rate = memory->copy_bandwidth();
    if (rate > 0) return rate;
    return make_error(ErrorCode::kInternal, "the device's memory bandwidth cannot be measured", backend.description());
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

    /// Measured again while it is too noisy to rank by; the quietest run counts.
    Result<BatchTiming> decode(std::uint32_t batch, double max_seconds, std::uint64_t& memory) {
        DecodeRounds rounds(model_, prompt_, batch, steps_);
        memory = std::max(memory, rounds.cache_bytes());
        TENPAK_RETURN_IF_ERROR(rounds.prefill());
        const auto begin = Clock::now();
        std::vector<double> warm;
        TENPAK_RETURN_IF_ERROR(rounds.run(std::min<std::uint64_t>(kWarmSteps, steps_), ctx_, warm));
        std::optional<BatchTiming> best;
        for (std::uint32_t runs = 1;; ++runs) {
            TENPAK_ASSIGN(BatchTiming t, decode_once(rounds, begin, max_seconds));
            if (!best || quieter(t, *best)) best = t;
            best->runs = runs;
            if (!best->noisy || runs >= options_.most_runs || (max_seconds > 0 && seconds_since(begin) > max_seconds)) return *best;
        }
    }

   private:
    /// More samples first (p99 needs them), then less noise.
    static bool quieter(const BatchTiming& a, const BatchTiming& b) {
        if (a.samples != b.samples) return a.samples > b.samples;
        return a.variation + a.contention.total() < b.variation + b.contention.total();
    }

    Result<BatchTiming> decode_once(DecodeRounds& rounds, Clock::time_point begin, double max_seconds) {
        BatchTiming t;
        t.batch = rounds.batch();
        std::vector<double> latencies, per_round;
        const ContentionWatch watch;
        while (latencies.size() < options_.samples) {
            if (max_seconds > 0 && seconds_since(begin) > max_seconds && latencies.size() >= kMinSamples) break;
            const std::size_t before = latencies.size();
            const auto start = Clock::now();
            TENPAK_RETURN_IF_ERROR(rounds.run(std::min<std::uint64_t>(steps_, options_.samples - before), ctx_, latencies));
            per_round.push_back(static_cast<double>(latencies.size() - before) * t.batch / seconds_since(start));
            ctx_.report({"timing", latencies.size(), options_.samples, "steps", "batch " + std::to_string(t.batch)});
        }
        t.contention = watch.so_far();
        t.samples = latencies.size();
        double total = 0;
        for (double& l : latencies) {
            total += l;
            l *= 1e3;
        }
        t.decode_tps = static_cast<double>(t.samples) * t.batch / total;
        t.latency_ms = percentiles(latencies);
        const MeanError mean = mean_and_error(per_round);
        if (per_round.size() > 1) t.variation = mean.standard_error * std::sqrt(static_cast<double>(per_round.size())) / mean.mean;
        t.noisy = t.variation > kNoisy || (t.contention.known && t.contention.total() > kContended);
        return t;
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
        TENPAK_ASSIGN(r.read_bandwidth, memory_bandwidth(backend));
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
        TENPAK_ASSIGN(const double again, memory_bandwidth(backend));
        r.read_bandwidth = std::max(r.read_bandwidth, again);
        const BatchTiming& first = r.batches.front();
        r.bandwidth_fraction = static_cast<double>(model.step_bytes()) * first.decode_tps / first.batch / r.read_bandwidth;
        r.resident_bytes = resident_memory().now;
        r.memory_bytes = model.weight_bytes() + cache_bytes + model.workspace_bytes() + backend.workspace_bytes();
        if (const compute::DeviceMemory* const memory = compute::device_memory(backend)) r.memory_bytes = memory->peak_bytes();
        return r;
    } catch (const std::bad_alloc&) {
        return make_error(ErrorCode::kOutOfMemory, "not enough memory for this batch and prompt", {}, "Use a smaller --batch or --prompt");
    }
}

}  // namespace tenpak::evaluate

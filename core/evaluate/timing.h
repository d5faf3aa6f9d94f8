// SPDX-License-Identifier: Apache-2.0
// Latency, throughput and memory of a loaded model, measured here (never projected).
#pragma once
#include <string>
#include <vector>

#include "core/base/job_context.h"
#include "core/evaluate/contention.h"
#include "core/model/transformer.h"

namespace tenpak::evaluate {

struct Percentiles {
    double p50 = 0, p95 = 0, p99 = 0;  ///< linear interpolation
};
Percentiles percentiles(std::vector<double> values);

/// One batch size: latency = time between two generated tokens of a sequence, throughput over the whole batch.
struct BatchTiming {
    std::uint32_t batch = 1;
    Percentiles latency_ms;
    std::uint64_t samples = 0;      ///< decode steps measured; p99 is claimed from 300 on
    double decode_tps = 0;          ///< generated tokens per second, all sequences together
    double variation = 0;           ///< coefficient of variation of the rounds' throughput
    std::uint32_t runs = 1;         ///< how often it was measured until it was quiet enough; the quietest run counts
    Contention contention;          ///< of that run
    bool noisy = false;             ///< still too noisy to rank by: variation above kNoisy, or neighbours took CPU time
};
/// Coefficient of variation above which a run is repeated, and at last flagged.
inline constexpr double kNoisy = 0.10;
struct TimingOptions {
    std::uint32_t prompt = 128, generate = 0;  ///< generate 0: as many steps as `samples` asks, in rounds
    std::vector<std::uint32_t> batches = {1};
    std::uint64_t samples = 300;
    std::uint32_t most_runs = 3;  ///< of a batch size that is too noisy
    double max_seconds = 0;  ///< 0: no limit. With a limit fewer samples may result: say so (BatchTiming::samples)
};
struct TimingResult {
    double time_to_first_token_ms = 0, prefill_tps = 0;
    std::vector<BatchTiming> batches;
    std::uint64_t memory_bytes = 0;     ///< weights + KV cache + workspace of this model
    std::uint64_t resident_bytes = 0;   ///< of the whole process at the end, as the system counts; 0: not known
    double bandwidth_fraction = 0;      ///< weight bytes x decode steps/s over the read bandwidth measured beside it
    double read_bandwidth = 0;          ///< bytes/s, multi-stream, measured in this run
    std::string backend, device;
};
/// Prompts are pseudo-random tokens (speed does not depend on them). A decode step runs every sequence of the batch by one
/// token, from a prompt of `prompt` tokens up to `prompt + generate`, then starts over: rounds. The first round warms up.
/// kInvalidArgument: no batch, batch 0, a prompt that does not fit the model's context.
Result<TimingResult> measure_timing(model::Transformer& model, compute::Backend& backend, const TimingOptions& options,
                                    const JobContext& ctx);

}  // namespace tenpak::evaluate

// SPDX-License-Identifier: Apache-2.0
// Latency and throughput of a running server, measured from outside as its users see them (never projected).
#pragma once
#include <map>

#include "core/evaluate/timing.h"
#include "core/serving/load_run.h"

namespace tenpak::serving {

struct BenchmarkOptions {
    std::uint32_t prompt = 128, generate = 64;     ///< tokens a request
    std::vector<std::uint32_t> concurrency = {1};
    std::uint64_t samples = 300;                   ///< inter-token times per level; p99 is claimed from 300 on
    double request_rate = 0;                       ///< LoadPlan::request_rate
    std::uint64_t seed = 1;                        ///< of prompts and arrivals
    bool warm_up = true;
};

/// One concurrency. Percentiles are over all requests that succeeded, times in milliseconds.
struct LevelTiming {
    std::uint32_t concurrency = 1;
    evaluate::Percentiles latency_ms;  ///< between two pieces of text of one request (inter-token latency)
    std::uint64_t samples = 0;         ///< of latency_ms
    evaluate::Percentiles tpot_ms;     ///< (E2E - TTFT) / (tokens - 1) of a request
    evaluate::Percentiles ttft_ms;     ///< from the request's arrival to its first text
    evaluate::Percentiles e2e_ms;      ///< from its arrival to its last text
    std::uint64_t requests = 0;        ///< that succeeded
    std::uint64_t errors = 0;
    std::map<std::string, std::uint64_t> error_messages;   ///< at most five different ones
    std::map<std::string, std::uint64_t> finish_reasons;
    std::uint64_t generated_tokens = 0, prompt_tokens = 0, pieces = 0;  ///< of the requests that succeeded
    double output_tps = 0;             ///< generated tokens over the time from the first arrival to the last text, prefill included
    double requests_per_second = 0;    ///< that succeeded, over the same time
    double seconds = 0;                ///< that time
    double variation = 0;              ///< coefficient of variation of output_tps over rounds of `concurrency` requests
    std::uint32_t rounds = 0;          ///< that variation is over; at least 3
};
/// Where token counts come from.
enum class CountsFrom : std::uint8_t { kServer, kPieces, kBoth };
const char* counts_from_name(CountsFrom c);  ///< "usage" (the server's), "chunks" (pieces of text taken for tokens), "mixed"

struct BenchmarkResult {
    std::vector<LevelTiming> levels;
    CountsFrom counts = CountsFrom::kServer;
    Dialect dialect;                ///< what the server takes
    std::string prompt_counts;      ///< "usage", "tokenizer" or "words"
    double prefill_tps = 0;         ///< prompt tokens over TTFT, median, at concurrency 1 in a closed loop; 0: not measured
};

/// For each concurrency: a warm-up of that many requests, then at least 3 rounds of them. kInvalidArgument: no level, a level
/// of 0 or more than 1024, no tokens; the server's error where nothing succeeds or it fails again and again.
/// One thread; a stop is heard within 20 ms.
Result<BenchmarkResult> measure_endpoint(const Endpoint& endpoint, hub::HttpClient& client, std::shared_ptr<const model::Tokenizer> tokenizer, const BenchmarkOptions& options,
                                         const JobContext& ctx);

/// Percentiles and rates of recorded requests (in the order of their end); a pure function. `records` has a success.
LevelTiming summarize(const std::vector<RequestRecord>& records, std::uint32_t concurrency);

}  // namespace tenpak::serving

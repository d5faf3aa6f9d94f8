// SPDX-License-Identifier: Apache-2.0
// Puts a load of streamed completions on a server and records what came when.
#pragma once
#include <vector>

#include "core/serving/completion_request.h"
#include "core/serving/completion_stream.h"
#include "core/serving/prompts.h"

namespace tenpak::serving {

struct LoadPlan {
    std::uint64_t requests = 1;
    std::uint32_t concurrency = 1;  ///< most requests in flight at once
    /// 0: closed loop, each of `concurrency` clients sends its next request when the one before is answered. Else arrivals
    /// per second, Poisson distributed; an arrival that finds `concurrency` requests in flight waits, and that wait counts.
    double request_rate = 0;
    std::uint32_t generate = 64;    ///< tokens a request
    std::uint64_t seed = 1;
    std::uint64_t give_up_after = 0;  ///< failures in a row that end the run with the last error; 0: never
};

/// One request: times in seconds since the run's start.
struct RequestRecord {
    double arrival = 0;             ///< when it was to be sent
    std::vector<double> pieces;     ///< arrival of each piece of text
    double end = 0;                 ///< last piece, or failure
    std::uint64_t tokens = 0;       ///< generated: the server's count, or pieces
    std::uint64_t prompt_tokens = 0;  ///< the server's count, or the local tokenizer's; 0: not known
    bool counted_by_server = false, prompt_counted_by_server = false;
    std::string finish_reason;
    std::optional<Error> error;     ///< then only arrival and end are set

    double ttft() const { return pieces.front() - arrival; }
    double e2e() const { return end - arrival; }
    /// Time per output token: (E2E - TTFT) / (tokens - 1), as vllm bench serve has it; needs two tokens.
    double tpot() const { return (e2e() - ttft()) / static_cast<double>(tokens - 1); }
};

/// Records in the order of their end. Errors of single requests are records; returned are kCancelled, and the last error
/// after give_up_after failures in a row. One thread; a stop is heard within 20 ms.
Result<std::vector<RequestRecord>> run_load(const Endpoint& endpoint, hub::HttpClient& client, const Dialect& dialect, const LoadPlan& plan, PromptMaker& prompts,
                                            const JobContext& ctx);

/// One short completion after the other until the server takes what it is asked: which optional parts may be used. Returns
/// the server's last refusal where nothing is taken.
Result<Dialect> find_dialect(const Endpoint& endpoint, hub::HttpClient& client, PromptMaker& prompts, const JobContext& ctx);

}  // namespace tenpak::serving

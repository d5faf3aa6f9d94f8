// SPDX-License-Identifier: Apache-2.0
// How a long operation hears "stop" and reports progress. Passed by const reference into every long function.
#pragma once
#include <cstdint>
#include <functional>
#include <stop_token>
#include <string>

#include "core/base/error.h"

namespace tenpak {

struct Progress {
    std::string phase;        ///< "compress", "verify", "perplexity": a stable word, translated by the studio
    std::uint64_t done = 0;   ///< in `unit`
    std::uint64_t total = 0;  ///< 0 where not known
    const char* unit = "bytes";
    std::string detail;       ///< tensor or candidate at work; may be empty
};

/// Thread-safe as far as the given callback is. Operations poll cancelled() at least every 50 ms of work.
struct JobContext {
    std::stop_token stop;
    std::function<void(const Progress&)> on_progress;  ///< may be empty; called from any thread, one call at a time

    bool cancelled() const { return stop.stop_requested(); }
    /// kCancelled once the user stopped the job.
    Status check() const {
        if (cancelled()) return make_error(ErrorCode::kCancelled, "stopped by the user");
        return {};
    }
    void report(const Progress& p) const {
        if (on_progress) on_progress(p);
    }
};

}  // namespace tenpak

// SPDX-License-Identifier: Apache-2.0
// Progress on stderr: a bar with rate and ETA on a terminal, a plain line every few seconds otherwise.
#pragma once
#include <chrono>
#include <mutex>
#include <string>

#include "core/base/job_context.h"

namespace tenpak::cli {

/// Thread-safe. The bar is wiped by finish(), so that the result stands alone.
class ProgressPrinter {
   public:
    explicit ProgressPrinter(bool quiet);
    ~ProgressPrinter();
    void show(const Progress& p);
    void finish();

   private:
    using Clock = std::chrono::steady_clock;
    std::mutex m_;
    bool quiet_, terminal_, drawn_ = false;
    std::string phase_;
    Clock::time_point phase_start_, last_;
};

}  // namespace tenpak::cli

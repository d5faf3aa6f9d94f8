// SPDX-License-Identifier: GPL-3.0-or-later
// What a lossy artifact does to the perplexity of its fine-tune, on the same tokens. Worker thread, on the CPU; no Qt.
#pragma once
#include <string>

#include "core/base/error.h"
#include "core/base/file.h"
#include "core/base/job_context.h"

namespace tenpak::app {

struct PerplexityRequest {
    fs::path base, fine_tune, artifact, text;
    std::uint32_t samples = 32;  ///< windows, evenly spread over the text; 0: all
};
struct PerplexityChange {
    std::string why_not;       ///< empty: it was measured
    double fine_tune = 0, rebuilt = 0;
    double percent = 0, low = 0, high = 0;  ///< change and its 95 % interval, paired over the windows
    std::uint64_t tokens = 0;
};
/// One model after the other: two at once may not fit. What the engine cannot run is an answer (why_not); only kCancelled is an error.
Result<PerplexityChange> measure_perplexity_change(const PerplexityRequest& request, const JobContext& ctx);

}  // namespace tenpak::app

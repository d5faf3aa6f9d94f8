// SPDX-License-Identifier: Apache-2.0
// Which of two loaded models decodes faster: rounds of both in turn (A B, B A, A B …), so that what disturbs the machine
// disturbs both alike, and the ratio of each pair of rounds is judged. A pair during which other processes took CPU time
// is thrown away and run again.
#pragma once
#include "core/evaluate/contention.h"
#include "core/evaluate/timing.h"

namespace tenpak::evaluate {

struct AbOptions {
    std::uint32_t prompt = 128, batch = 1;
    std::uint32_t steps = 32;   ///< decode steps a round
    std::uint32_t pairs = 12;   ///< pairs of rounds to judge by
    std::uint32_t most_repeated = 24;  ///< disturbed pairs that are run again at most; beyond, they count and are flagged
};
enum class Faster : std::uint8_t { kNeither, kA, kB };
struct AbResult {
    /// Seconds of A over seconds of B: above 1, B is the faster one. Median of the pairs' ratios and the interval between
    /// two of its order statistics that holds the median in at least 95 % of cases (sign test: no normality assumed).
    double ratio = 1, low = 1, high = 1;
    Faster faster = Faster::kNeither;  ///< the interval leaves 1 out
    std::uint32_t pairs = 0, repeated = 0, disturbed = 0;  ///< disturbed: counted although disturbed
    Percentiles a_ms, b_ms;            ///< per step
    Contention contention;             ///< over the whole measurement
    bool noisy() const { return disturbed > 0; }
};
/// Errors as measure_timing().
Result<AbResult> compare_speed(model::Transformer& a, model::Transformer& b, const AbOptions& options, const JobContext& ctx);
/// The verdict on given ratios; at least 6 are needed for an interval.
AbResult judge_ratios(std::vector<double> ratios);

}  // namespace tenpak::evaluate

// SPDX-License-Identifier: Apache-2.0
// Limits, cost, front and winner: one pure function shared by the CLI, the server and the studio. n log n, no I/O.
#pragma once
#include <map>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "core/base/error.h"
#include "core/optimizer/trial.h"

namespace tenpak::optimizer {

/// A filter over recorded results: changing one runs nothing.
struct Limits {
    std::optional<double> max_ppl_delta;       ///< percent; holds when the interval's upper end does
    std::optional<double> max_latency_p99_ms;
    std::optional<double> min_throughput_tps;
    std::optional<double> max_memory_mb;       ///< 10^6 bytes
    std::optional<double> min_accuracy;        ///< percent; fails where accuracy was not measured
    bool operator==(const Limits&) const = default;
};

enum class Limit { kPerplexity, kLatency, kThroughput, kMemory, kAccuracy };
const char* limit_name(Limit l);  ///< "ppl_delta", "latency_p99", "throughput", "memory", "accuracy"

/// A trial as judged. Timing figures are those of `batch`: the largest measured batch whose p99 meets the latency limit
/// (without a latency limit the one with the highest throughput; when none meets it, batch 1).
struct Judged {
    std::string id;
    std::vector<Limit> fails;  ///< in the order of the enumeration; a figure that is unknown fails its limit
    std::uint32_t batch = 1;
    double p50_ms = kUnknown, p95_ms = kUnknown, p99_ms = kUnknown, latency_b1_ms = kUnknown, throughput_tps = kUnknown;
    double cost_per_1m_tokens = kUnknown;  ///< USD
    bool on_front = false;   ///< over (ppl_delta, p99); ties are on it
    bool winner = false;     ///< cheapest of those that fail nothing; ties: lower ppl_delta, then name
    bool baseline = false;   ///< fp16
};
struct Judgement {
    std::vector<Judged> trials;     ///< same order as given; trials that are not done have no figures and pass nothing
    std::optional<std::size_t> winner;
    std::vector<std::size_t> front; ///< indices, by ascending p99; over all done trials, whatever the limits say
    /// The trial that misses by least (largest relative excess is smallest); set when there is no winner and relaxing
    /// limits would give one.
    std::optional<std::size_t> closest;
    /// For `closest`: the limits that would just let it pass; unrounded, so round outwards for display.
    Limits relaxed;
};
/// `price_per_hour` in USD; NaN leaves costs unknown and the winner is then the one with the highest throughput.
Judgement judge(std::span<const Trial> trials, const Limits& limits, double price_per_hour);
/// Indices of the points not dominated in (x, y), both smaller is better; equal points are both kept; one with a NaN is
/// never kept and dominates nothing. Ordered by ascending x, then y, then index.
std::vector<std::size_t> pareto_front(std::span<const double> x, std::span<const double> y);

/// USD per million generated tokens: price per hour / tokens per hour. NaN where either is unknown or no rate.
double cost_per_1m_tokens(double price_per_hour, double throughput_tps);
/// How much the trial exceeds the limit it failed, in words: "p99 152 ms is above 100 ms".
std::string explain_failure(const Judged& judged, const Trial& trial, Limit limit, const Limits& limits);

/// One row of the hardware price table (resources/prices/hardware.json, editable copy in the user's config folder).
struct HardwarePrice {
    std::string id, name;
    double usd_per_hour = 0;
    std::string source, date;  ///< who says so, YYYY-MM-DD
    bool local = false;        ///< offered as default for the machine at hand
};
Result<std::vector<HardwarePrice>> load_prices(const std::string& json_text, const std::string& where);
/// Older than 90 days at `today` (YYYY-MM-DD).
bool price_is_stale(const HardwarePrice& p, const std::string& today);

}  // namespace tenpak::optimizer

// SPDX-License-Identifier: Apache-2.0
#include "core/optimizer/judge.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdio>

namespace tenpak::optimizer {
namespace {

// What a limit looks at, at one batch point.
struct Figures {
    double ppl_high, p99, tps, memory_mb, accuracy;
};

Figures figures_of(const Metrics& m, const BatchPoint* point) {
    return {m.ppl_delta_high, point ? point->p99_ms : kUnknown, point ? point->throughput_tps : kUnknown,
            m.memory_bytes > 0 ? static_cast<double>(m.memory_bytes) / 1e6 : kUnknown, m.accuracy};
}

// The comparisons are written so that NaN fails.
bool meets_max(double value, const std::optional<double>& limit) { return !limit || value <= *limit; }
bool meets_min(double value, const std::optional<double>& limit) { return !limit || value >= *limit; }

// The batch rule (design section 4). nullptr when nothing was timed.
const BatchPoint* choose_batch(const Metrics& m, const std::optional<double>& max_p99) {
    const BatchPoint* best = nullptr;
    const BatchPoint* smallest = nullptr;
    for (const BatchPoint& b : m.batches) {
        if (smallest == nullptr || b.batch < smallest->batch) smallest = &b;
        if (max_p99) {
            if (b.p99_ms <= *max_p99 && (best == nullptr || b.batch > best->batch)) best = &b;
        } else if (best == nullptr || b.throughput_tps > best->throughput_tps || std::isnan(best->throughput_tps)) {
            best = &b;
        }
    }
    return best != nullptr ? best : smallest;
}

// Excess over a limit relative to it. Percent limits may be 0 or nearly so: there the excess counts in whole points.
double excess(double value, double limit, double floor, double sign) {
    const double e = sign * (value - limit) / std::max(std::fabs(limit), floor);
    return std::isnan(e) ? std::numeric_limits<double>::infinity() : std::max(e, 0.0);
}

struct Relaxation {
    double excess = std::numeric_limits<double>::infinity();
    Limits limits;
};

// Relaxing the latency limit moves the batch and with it the throughput: so each measured batch is tried as the one to
// let through, and whatever batch the rule then picks is what counts.
Relaxation relax(const Metrics& m, const Limits& limits) {
    Relaxation best;
    const auto attempt = [&](std::optional<double> max_p99) {
        const BatchPoint* point = choose_batch(m, max_p99);
        const Figures f = figures_of(m, point);
        Relaxation r{0, limits};
        const auto need = [&](std::optional<double>& limit, double value, double floor, double sign) {
            if (!limit || sign * (value - *limit) <= 0) return;
            r.excess = std::max(r.excess, excess(value, *limit, floor, sign));
            limit = value;
        };
        if (limits.max_latency_p99_ms && max_p99 && *max_p99 > *limits.max_latency_p99_ms) {
            r.excess = std::max(r.excess, excess(*max_p99, *limits.max_latency_p99_ms, 1e-9, 1));
            r.limits.max_latency_p99_ms = max_p99;
        } else if (!meets_max(f.p99, limits.max_latency_p99_ms)) {
            r.excess = std::numeric_limits<double>::infinity();
        }
        need(r.limits.max_ppl_delta, f.ppl_high, 1, 1);
        need(r.limits.min_throughput_tps, f.tps, 1e-9, -1);
        need(r.limits.max_memory_mb, f.memory_mb, 1e-9, 1);
        need(r.limits.min_accuracy, f.accuracy, 1, -1);
        if (r.excess < best.excess) best = std::move(r);
    };
    attempt(limits.max_latency_p99_ms);
    if (limits.max_latency_p99_ms) {
        for (const BatchPoint& b : m.batches) {
            if (b.p99_ms > *limits.max_latency_p99_ms && std::isfinite(b.p99_ms)) attempt(b.p99_ms);
        }
    }
    return best;
}

Judged judge_one(const Trial& trial, const Limits& limits, double price_per_hour) {
    Judged j;
    j.id = trial.id;
    j.baseline = trial.candidate == "fp16";
    if (trial.status != TrialStatus::kDone) return j;
    const Metrics& m = trial.metrics;
    const BatchPoint* point = choose_batch(m, limits.max_latency_p99_ms);
    if (point != nullptr) {
        j.batch = point->batch;
        j.p50_ms = point->p50_ms;
        j.p95_ms = point->p95_ms;
        j.p99_ms = point->p99_ms;
        j.throughput_tps = point->throughput_tps;
        j.cost_per_1m_tokens = cost_per_1m_tokens(price_per_hour, point->throughput_tps);
        for (const BatchPoint& b : m.batches) {
            if (b.batch == 1) j.latency_b1_ms = b.p99_ms;
        }
    }
    const Figures f = figures_of(m, point);
    if (!meets_max(f.ppl_high, limits.max_ppl_delta)) j.fails.push_back(Limit::kPerplexity);
    if (!meets_max(f.p99, limits.max_latency_p99_ms)) j.fails.push_back(Limit::kLatency);
    if (!meets_min(f.tps, limits.min_throughput_tps)) j.fails.push_back(Limit::kThroughput);
    if (!meets_max(f.memory_mb, limits.max_memory_mb)) j.fails.push_back(Limit::kMemory);
    if (!meets_min(f.accuracy, limits.min_accuracy)) j.fails.push_back(Limit::kAccuracy);
    return j;
}

// -1, 0, 1; NaN is last.
int compare(double a, double b) {
    const bool na = std::isnan(a), nb = std::isnan(b);
    if (na || nb) return static_cast<int>(na) - static_cast<int>(nb);
    return a < b ? -1 : a > b ? 1 : 0;
}

std::string number(double v) {
    std::array<char, 48> s{};
    std::snprintf(s.data(), s.size(), "%.4g", v);
    return s.data();
}

}  // namespace

const char* limit_name(Limit l) {
    switch (l) {
        case Limit::kPerplexity: return "ppl_delta";
        case Limit::kLatency: return "latency_p99";
        case Limit::kThroughput: return "throughput";
        case Limit::kMemory: return "memory";
        case Limit::kAccuracy: return "accuracy";
    }
    return "unknown";
}
const char* trial_status_name(TrialStatus s) {
    switch (s) {
        case TrialStatus::kQueued: return "queued";
        case TrialStatus::kRunning: return "running";
        case TrialStatus::kDone: return "done";
        case TrialStatus::kFailed: return "failed";
    }
    return "unknown";
}
const char* provenance_name(Provenance p) {
    switch (p) {
        case Provenance::kMeasured: return "measured";
        case Provenance::kProjected: return "projected";
        case Provenance::kRecorded: return "recorded";
    }
    return "unknown";
}

double cost_per_1m_tokens(double price_per_hour, double throughput_tps) {
    if (!(throughput_tps > 0) || !(price_per_hour >= 0)) return kUnknown;
    return price_per_hour / (throughput_tps * 3600) * 1e6;
}

std::string explain_failure(const Judged& judged, const Trial& trial, Limit limit, const Limits& limits) {
    const Metrics& m = trial.metrics;
    const auto say = [](const char* name, double value, const char* than, const std::optional<double>& bound, const char* unit) {
        if (std::isnan(value)) return std::string(name) + " was not measured";
        return std::string(name) + " " + number(value) + unit + " is " + than + " " + number(bound.value_or(kUnknown)) + unit;
    };
    switch (limit) {
        case Limit::kPerplexity: return say("perplexity change (upper end)", m.ppl_delta_high, "above", limits.max_ppl_delta, " %");
        case Limit::kLatency: return say("latency p99", judged.p99_ms, "above", limits.max_latency_p99_ms, " ms");
        case Limit::kThroughput: return say("throughput", judged.throughput_tps, "below", limits.min_throughput_tps, " tok/s");
        case Limit::kMemory:
            return say("memory", m.memory_bytes > 0 ? static_cast<double>(m.memory_bytes) / 1e6 : kUnknown, "above", limits.max_memory_mb, " MB");
        case Limit::kAccuracy: return say("accuracy", m.accuracy, "below", limits.min_accuracy, " %");
    }
    return "unknown limit";
}

Judgement judge(std::span<const Trial> trials, const Limits& limits, double price_per_hour) {
    Judgement out;
    out.trials.reserve(trials.size());
    std::vector<double> x(trials.size(), kUnknown), y(trials.size(), kUnknown);
    const bool priced = price_per_hour >= 0;
    for (std::size_t i = 0; i < trials.size(); ++i) {
        out.trials.push_back(judge_one(trials[i], limits, price_per_hour));
        const Judged& j = out.trials.back();
        if (trials[i].status != TrialStatus::kDone) continue;
        x[i] = j.p99_ms;
        y[i] = trials[i].metrics.ppl_delta;
        if (!j.fails.empty()) continue;
        if (!out.winner) {
            out.winner = i;
            continue;
        }
        const Judged& w = out.trials[*out.winner];
        int c = priced ? compare(j.cost_per_1m_tokens, w.cost_per_1m_tokens) : 0;
        // Without a price the one with the highest throughput; with it the same order, as cost is its reciprocal.
        if (c == 0 && !priced) c = compare(-j.throughput_tps, -w.throughput_tps);
        if (c == 0) c = compare(trials[i].metrics.ppl_delta, trials[*out.winner].metrics.ppl_delta);
        if (c == 0) c = trials[i].candidate.compare(trials[*out.winner].candidate);
        if (c < 0) out.winner = i;
    }
    out.front = pareto_front(x, y);
    for (const std::size_t i : out.front) out.trials[i].on_front = true;
    if (out.winner) {
        out.trials[*out.winner].winner = true;
        return out;
    }
    double least = std::numeric_limits<double>::infinity();
    for (std::size_t i = 0; i < trials.size(); ++i) {
        if (trials[i].status != TrialStatus::kDone) continue;
        Relaxation r = relax(trials[i].metrics, limits);
        if (r.excess >= least) continue;
        least = r.excess;
        out.closest = i;
        out.relaxed = r.limits;
    }
    return out;
}

}  // namespace tenpak::optimizer

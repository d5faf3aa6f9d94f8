// SPDX-License-Identifier: Apache-2.0
#include "app/cli/optimize_report.h"

#include <algorithm>
#include <cmath>
#include <cstdarg>
#include <cstdio>

#include "app/cli/command.h"

namespace tenpak::cli {
namespace {

using optimizer::Judged;
using optimizer::Limits;
using optimizer::Trial;
using optimizer::TrialStatus;

OrderedJson number(double v) { return std::isfinite(v) ? OrderedJson(v) : OrderedJson(nullptr); }
template <class T>
OrderedJson known(T v) {
    return v > 0 ? OrderedJson(v) : OrderedJson(nullptr);
}

__attribute__((format(printf, 1, 2))) std::string format(const char* f, ...) {
    char s[512];
    va_list args;
    va_start(args, f);
    std::vsnprintf(s, sizeof s, f, args);
    va_end(args);
    return s;
}
std::string figure(const char* f, double v) {
    if (!std::isfinite(v)) return "–";
    char s[64];
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
    std::snprintf(s, sizeof s, f, v);
#pragma GCC diagnostic pop
    return s;
}

OrderedJson latency(const Judged& j) { return {{"p50", number(j.p50_ms)}, {"p95", number(j.p95_ms)}, {"p99", number(j.p99_ms)}}; }

OrderedJson limits_json(const Limits& l) {
    OrderedJson j = OrderedJson::object();
    if (l.max_ppl_delta) j["max_ppl_delta"] = *l.max_ppl_delta;
    if (l.max_latency_p99_ms) j["max_latency_p99_ms"] = *l.max_latency_p99_ms;
    if (l.min_throughput_tps) j["min_throughput_tps"] = *l.min_throughput_tps;
    if (l.max_memory_mb) j["max_memory_mb"] = *l.max_memory_mb;
    if (l.min_accuracy) j["min_accuracy"] = *l.min_accuracy;
    return j;
}
std::string limits_text(const Limits& l) {
    std::string s;
    const auto add = [&](const std::string& part) { s += (s.empty() ? "" : ", ") + part; };
    if (l.max_ppl_delta) add(format("perplexity at most %+g %%", *l.max_ppl_delta));
    if (l.max_latency_p99_ms) add(format("p99 at most %g ms", *l.max_latency_p99_ms));
    if (l.min_throughput_tps) add(format("at least %g tok/s", *l.min_throughput_tps));
    if (l.max_memory_mb) add(format("at most %g MB", *l.max_memory_mb));
    if (l.min_accuracy) add(format("accuracy at least %g %%", *l.min_accuracy));
    return s.empty() ? "none" : s;
}

OrderedJson candidate_json(const Trial& t, const Judged& j) {
    const optimizer::Metrics& m = t.metrics;
    OrderedJson fails = OrderedJson::array();
    for (const optimizer::Limit f : j.fails) fails.push_back(limit_name(f));
    OrderedJson batches = OrderedJson::array();
    for (const optimizer::BatchPoint& b : m.batches) {
        batches.push_back({{"batch", b.batch}, {"p50_ms", number(b.p50_ms)}, {"p95_ms", number(b.p95_ms)}, {"p99_ms", number(b.p99_ms)},
                           {"throughput_tps", number(b.throughput_tps)}, {"samples", b.samples}});
    }
    return {{"id", t.id}, {"candidate", t.candidate}, {"status", trial_status_name(t.status)}, {"phase", t.phase}, {"ppl", number(m.perplexity)},
            {"ppl_delta", number(m.ppl_delta)}, {"ppl_delta_low", number(m.ppl_delta_low)}, {"ppl_delta_high", number(m.ppl_delta_high)},
            {"latency_ms", latency(j)}, {"latency_b1_ms", number(j.latency_b1_ms)}, {"throughput_tps", number(j.throughput_tps)},
            {"batch", m.batches.empty() ? OrderedJson(nullptr) : OrderedJson(j.batch)}, {"memory_bytes", known(m.memory_bytes)}, {"compression", number(m.compression)},
            {"cost_per_1m_tokens_usd", number(j.cost_per_1m_tokens)}, {"fails", std::move(fails)}, {"provenance", provenance_name(t.provenance)},
            {"device", t.device}, {"measured_at", t.measured_at}, {"error", t.error.empty() ? OrderedJson(nullptr) : OrderedJson(t.error)},
            {"error_code", t.error_code.empty() ? OrderedJson(nullptr) : OrderedJson(t.error_code)}, {"attempts", t.attempts}, {"batches", std::move(batches)},
            {"time_to_first_token_ms", number(m.time_to_first_token_ms)}, {"prefill_tps", number(m.prefill_tps)},
            {"bandwidth_fraction", number(m.bandwidth_fraction)}, {"bits_per_weight", number(m.bits_per_weight)}, {"stored_bytes", known(m.stored_bytes)},
            {"kl_divergence", number(m.kl_divergence)}, {"top1_agreement", number(m.top1_agreement)}, {"accuracy", number(m.accuracy)},
            {"accuracy_error", number(m.accuracy_error)}, {"accuracy_items", m.accuracy_items}, {"speed_vs_fp16", number(m.speed_vs_fp16)},
            {"speed_vs_fp16_low", number(m.speed_vs_fp16_low)}, {"speed_vs_fp16_high", number(m.speed_vs_fp16_high)}, {"noisy", m.noisy},
            {"eval_tokens", m.eval_tokens}, {"convention", m.convention}, {"kernels", m.kernels}, {"notes", m.notes}};
}

std::string verdict(const Trial& t, const Judged& j) {
    switch (t.status) {
        case TrialStatus::kQueued:
        case TrialStatus::kRunning: return "not measured";
        case TrialStatus::kFailed: return "failed";
        case TrialStatus::kDone: break;
    }
    if (j.winner) return "★ cheapest that passes";
    if (!j.fails.empty()) {
        std::string s = "× fails ";
        for (std::size_t i = 0; i < j.fails.size(); ++i) s += (i > 0 ? ", " : "") + std::string(limit_name(j.fails[i]));
        return s;
    }
    return j.on_front ? "passes, on the front" : "passes";
}

/// Of the column of names.
int name_width(const std::vector<Trial>& trials) {
    std::size_t width = 13;
    for (const Trial& t : trials) width = std::max(width, t.candidate.size());
    return static_cast<int>(std::min<std::size_t>(width, 60));
}

/// What of the quality beyond perplexity and of the speed beside fp16 was measured, a line a candidate.
std::string quality_text(const std::vector<Trial>& trials) {
    std::string s;
    for (const Trial& t : trials) {
        const optimizer::Metrics& m = t.metrics;
        if (t.status != TrialStatus::kDone || (!std::isfinite(m.kl_divergence) && !std::isfinite(m.accuracy) && !m.noisy)) continue;
        s += format("%-*s ", name_width(trials), t.candidate.c_str());
        if (std::isfinite(m.kl_divergence)) s += format(" KL to fp16 %.5f, same likeliest token %.2f %%;", m.kl_divergence, 100 * m.top1_agreement);
        if (std::isfinite(m.accuracy)) s += format(" accuracy %.1f %% ± %.1f;", m.accuracy, m.accuracy_error);
        if (std::isfinite(m.speed_vs_fp16)) s += format(" %.2fx fp16's speed in turn [%.2f, %.2f];", m.speed_vs_fp16, m.speed_vs_fp16_low, m.speed_vs_fp16_high);
        if (m.noisy) s += " timing noisy, not fit for a ranking;";
        s.back() = '\n';
    }
    return s.empty() ? s : "\n" + s;
}

}  // namespace

OrderedJson optimize_json(const OptimizeReport& r) {
    OrderedJson candidates = OrderedJson::array(), pareto = OrderedJson::array();
    for (std::size_t i = 0; i < r.trials.size(); ++i) candidates.push_back(candidate_json(r.trials[i], r.judgement.trials[i]));
    for (const std::size_t i : r.judgement.front) pareto.push_back(r.trials[i].id);
    OrderedJson winner = nullptr, closest = nullptr;
    if (r.judgement.winner) {
        const Trial& t = r.trials[*r.judgement.winner];
        const Judged& j = r.judgement.trials[*r.judgement.winner];
        winner = {{"candidate", t.candidate}, {"compression", number(t.metrics.compression)}, {"ppl", number(t.metrics.perplexity)},
                  {"ppl_delta", number(t.metrics.ppl_delta)}, {"latency_ms", latency(j)}, {"throughput_tps", number(j.throughput_tps)},
                  {"memory_bytes", known(t.metrics.memory_bytes)}, {"cost_per_1m_tokens_usd", number(j.cost_per_1m_tokens)}};
    }
    if (r.judgement.closest) closest = {{"candidate", r.trials[*r.judgement.closest].candidate}, {"relaxed", limits_json(r.judgement.relaxed)}};
    return {{"job_id", r.job_id}, {"status", r.status}, {"winner", std::move(winner)}, {"candidates", std::move(candidates)}, {"pareto", std::move(pareto)},
            {"closest", std::move(closest)}, {"limits", limits_json(r.limits)}, {"limits_are_default", r.default_limits},
            {"hardware", {{"id", r.price.id}, {"name", r.price.name}, {"usd_per_hour", r.price.usd_per_hour}, {"source", r.price.source},
                          {"date", r.price.date}, {"stale", r.stale_price}}},
            {"model", r.spec.model_path}, {"text", r.spec.text_path}, {"calibration", r.spec.calibration_path}, {"tasks", r.spec.tasks_path}, {"device", r.spec.device}, {"notes", r.notes}};
}

std::string optimize_text(const OptimizeReport& r) {
    const int width = name_width(r.trials);
    std::string s = format("%-*s  perplexity    change, 95 %% interval      p99 ms  batch     tok/s   memory    $/1M tok  verdict\n", width, "candidate");
    for (std::size_t i = 0; i < r.trials.size(); ++i) {
        const Trial& t = r.trials[i];
        const Judged& j = r.judgement.trials[i];
        const optimizer::Metrics& m = t.metrics;
        if (t.status != TrialStatus::kDone) {
            s += format("%-*s  %s", width, t.candidate.c_str(), verdict(t, j).c_str()) + (t.error.empty() ? "" : ": " + t.error) + "\n";
            continue;
        }
        const std::string interval = std::isfinite(m.ppl_delta)
                                         ? format("%+.2f %% [%+.2f, %+.2f]", m.ppl_delta, m.ppl_delta_low, m.ppl_delta_high)
                                         : std::string("not known");
        s += format("%-*s  %10s    %-25s  %6s  %5u  %8s  %7s  %10s  %s\n", width, t.candidate.c_str(), figure("%.3f", m.perplexity).c_str(), interval.c_str(),
                    figure("%.2f", j.p99_ms).c_str(), j.batch, figure("%.0f", j.throughput_tps).c_str(),
                    m.memory_bytes > 0 ? format_bytes(static_cast<double>(m.memory_bytes)).c_str() : "–", figure("%.4g", j.cost_per_1m_tokens).c_str(), verdict(t, j).c_str());
    }
    s += quality_text(r.trials);
    s += "\nLimits: " + limits_text(r.limits) + (r.default_limits ? " (the default; name your own with --max-ppl-delta and others)" : "") + "\n";
    s += format("Price: $%g per hour, %s, %s, %s%s\n", r.price.usd_per_hour, r.price.name.c_str(), r.price.source.c_str(), r.price.date.c_str(),
                r.stale_price ? " (older than 90 days)" : "");
    for (const std::string& n : r.notes) s += "Note: " + n + "\n";
    if (r.judgement.winner) {
        const Trial& t = r.trials[*r.judgement.winner];
        const Judged& j = r.judgement.trials[*r.judgement.winner];
        s += format("\n%s is the cheapest that passes: $%s per 1M tokens, perplexity %+.2f %%, p99 %s ms at batch %u, %s tok/s, %sx smaller\n", t.candidate.c_str(),
                    figure("%.4g", j.cost_per_1m_tokens).c_str(), t.metrics.ppl_delta, figure("%.2f", j.p99_ms).c_str(), j.batch,
                    figure("%.0f", j.throughput_tps).c_str(), figure("%.2f", t.metrics.compression).c_str());
        if (!t.device.empty()) s += "Measured on: " + t.device + "\n";
    }
    return s;
}

std::string no_winner_text(const OptimizeReport& r) {
    std::string s;
    for (std::size_t i = 0; i < r.trials.size(); ++i) {
        const Trial& t = r.trials[i];
        s += "  " + t.candidate + ": ";
        if (t.status == TrialStatus::kFailed) s += "failed: " + t.error;
        else if (t.status != TrialStatus::kDone) s += "not measured";
        const Judged& j = r.judgement.trials[i];
        for (std::size_t k = 0; k < j.fails.size(); ++k) s += (k > 0 ? "; " : "") + explain_failure(j, t, j.fails[k], r.limits);
        s += "\n";
    }
    if (r.judgement.closest) {
        s += "  Closest: " + r.trials[*r.judgement.closest].candidate + ". It would pass with these limits: " + limits_text(r.judgement.relaxed) + "\n";
    }
    return s;
}

}  // namespace tenpak::cli

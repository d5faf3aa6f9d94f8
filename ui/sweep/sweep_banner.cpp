// SPDX-License-Identifier: GPL-3.0-or-later
#include "ui/sweep/sweep_banner.h"

#include <QCoreApplication>
#include <cmath>

#include "app/format.h"

namespace tenpak::ui {
namespace {
namespace fmt = app::format;
using optimizer::Limit;

const QString kDot = QStringLiteral(" \u00B7 ");

/// lupdate knows the context by this.
struct Tr {
    Q_DECLARE_TR_FUNCTIONS(SweepPage)
};
bool fails(const optimizer::Judged& j, Limit l) { return std::find(j.fails.begin(), j.fails.end(), l) != j.fails.end(); }

/// The next value a person would type that is still allowed: 41.53 -> 42 for an upper limit.
double roundedUp(double v) {
    const double step = std::pow(10.0, std::floor(std::log10(std::max(v, 1e-9))) - 1);
    return std::ceil(v / step - 1e-9) * step;
}
double roundedDown(double v) {
    const double step = std::pow(10.0, std::floor(std::log10(std::max(v, 1e-9))) - 1);
    return std::floor(v / step + 1e-9) * step;
}

QString provenance(const app::SweepViewState& s, const optimizer::Trial& t) {
    if (!s.recorded.isEmpty()) return s.recorded;
    if (t.provenance == optimizer::Provenance::kProjected) return Tr::tr("projected");
    return t.device.empty() ? Tr::tr("measured here") : Tr::tr("measured here on %1").arg(QString::fromStdString(t.device));
}

/// "Perplexity +1.31 % ± 0.15 (limit 2 %) · p99 41.5 ms (limit 100 ms) · …": limit by limit.
QString figures(const app::SweepViewState& s, std::size_t i) {
    const auto& t = (*s.trials)[i];
    const auto& j = s.judgement->trials[i];
    const auto limit = [](const QString& text) -> QString { return QLatin1Char(' ') + Tr::tr("(limit %1)").arg(text); };
    QStringList parts;
    parts << Tr::tr("Perplexity %1").arg(fmt::percentWithInterval(t.metrics.ppl_delta, t.metrics.ppl_delta_low, t.metrics.ppl_delta_high)) + (s.limits.max_ppl_delta ? limit(fmt::trimmed(*s.limits.max_ppl_delta) + QStringLiteral("\u202F%")) : QString());
    parts << Tr::tr("p99 %1").arg(fmt::milliseconds(j.p99_ms)) + (s.limits.max_latency_p99_ms ? limit(fmt::trimmed(*s.limits.max_latency_p99_ms) + QStringLiteral("\u00A0ms")) : QString());
    if (s.limits.min_throughput_tps) parts << fmt::tokensPerSecond(j.throughput_tps) + limit(fmt::trimmed(*s.limits.min_throughput_tps, 6));
    if (s.limits.max_memory_mb) parts << fmt::bytes(static_cast<double>(t.metrics.memory_bytes)) + limit(fmt::bytes(*s.limits.max_memory_mb * 1e6));
    return parts.join(kDot);
}

const optimizer::Judged* baseline(const app::SweepViewState& s) {
    for (const auto& j : s.judgement->trials)
        if (j.baseline && std::isfinite(j.cost_per_1m_tokens)) return &j;
    return nullptr;
}

SweepBanner winnerBanner(const app::SweepViewState& s) {
    const std::size_t i = *s.judgement->winner;
    const auto& j = s.judgement->trials[i];
    const QString name = QString::fromStdString((*s.trials)[i].candidate);
    SweepBanner b;
    b.icon = QStringLiteral("star");
    b.state.tone = app::Tone::kOk;
    b.state.closable = false;
    const optimizer::Judged* fp16 = baseline(s);
    if (!std::isfinite(j.cost_per_1m_tokens)) b.state.title = Tr::tr("%1 is the fastest that passes. Without a price of the machine there is no cost.").arg(name);
    else if (fp16 == nullptr || j.baseline) b.state.title = Tr::tr("%1 is the cheapest that passes: %2").arg(name, fmt::costSentence(j.cost_per_1m_tokens));
    else {
        const double below = (1 - j.cost_per_1m_tokens / fp16->cost_per_1m_tokens) * 100;
        b.state.title = below >= 0 ? Tr::tr("%1 is the cheapest that passes: %2, %3 below fp16").arg(name, fmt::costSentence(j.cost_per_1m_tokens), fmt::percent(below, 0))
                                   : Tr::tr("%1 is the cheapest that passes: %2, %3 above fp16").arg(name, fmt::costSentence(j.cost_per_1m_tokens), fmt::percent(-below, 0));
    }
    b.state.body = figures(s, i) + kDot + provenance(s, (*s.trials)[i]);
    b.state.actions = {{QLatin1String(kBannerExport), Tr::tr("Export winner\u2026"), QStringLiteral("export"), s.recorded.isEmpty()}};
    return b;
}

int limitCount(const optimizer::Limits& l) {
    return (l.max_ppl_delta ? 1 : 0) + (l.max_latency_p99_ms ? 1 : 0) + (l.min_throughput_tps ? 1 : 0) + (l.max_memory_mb ? 1 : 0) + (l.min_accuracy ? 1 : 0);
}

QString allowText(Limit l, const optimizer::Limits& relaxed) {
    switch (l) {
        case Limit::kPerplexity: return Tr::tr("Allow %1").arg(QLatin1Char('+') + fmt::trimmed(roundedUp(*relaxed.max_ppl_delta), 2) + QStringLiteral("\u202F%"));
        case Limit::kLatency: return Tr::tr("Allow %1").arg(fmt::trimmed(roundedUp(*relaxed.max_latency_p99_ms), 2) + QStringLiteral("\u00A0ms"));
        case Limit::kThroughput: return Tr::tr("Allow %1").arg(fmt::trimmed(roundedDown(*relaxed.min_throughput_tps), 2) + QStringLiteral("\u00A0tok/s"));
        case Limit::kMemory: return Tr::tr("Allow %1").arg(fmt::bytes(roundedUp(*relaxed.max_memory_mb) * 1e6, 2));
        case Limit::kAccuracy: return Tr::tr("Allow %1").arg(fmt::percent(roundedDown(*relaxed.min_accuracy), 1));
    }
    return {};
}

bool hasRelaxed(Limit l, const optimizer::Limits& r) {
    switch (l) {
        case Limit::kPerplexity: return r.max_ppl_delta && *r.max_ppl_delta > 0;
        case Limit::kLatency: return r.max_latency_p99_ms && *r.max_latency_p99_ms > 0;
        case Limit::kThroughput: return r.min_throughput_tps && *r.min_throughput_tps > 0;
        case Limit::kMemory: return r.max_memory_mb && *r.max_memory_mb > 0;
        case Limit::kAccuracy: return r.min_accuracy && *r.min_accuracy > 0;
    }
    return false;
}

SweepBanner nonePasses(const app::SweepViewState& s) {
    SweepBanner b;
    b.icon = QStringLiteral("warn");
    b.state.tone = app::Tone::kWarn;
    b.state.closable = false;
    const int count = limitCount(s.limits);
    b.state.title = count == 1 ? Tr::tr("No candidate passes the limit") : Tr::tr("No candidate passes all %n limits", nullptr, count);
    if (!s.judgement->closest) return b;
    const std::size_t i = *s.judgement->closest;
    const auto& j = s.judgement->trials[i];
    b.state.body = Tr::tr("Closest: %1. %2").arg(QString::fromStdString((*s.trials)[i].candidate), figures(s, i));
    for (Limit l : {Limit::kLatency, Limit::kPerplexity, Limit::kThroughput, Limit::kMemory, Limit::kAccuracy})
        if (fails(j, l) && hasRelaxed(l, s.judgement->relaxed) && b.state.actions.size() < 2)
            b.state.actions.append({QLatin1String(kBannerAllow) + QLatin1String(optimizer::limit_name(l)), allowText(l, s.judgement->relaxed), {}, false});
    return b;
}

}  // namespace

SweepBanner sweepBanner(const app::SweepViewState& s) {
    using Phase = app::SweepViewState::Phase;
    SweepBanner b;
    if (!s.banner.isEmpty()) {
        b.state = s.banner;
        return b;
    }
    const bool judged = s.judgement && s.trials && s.judgement->trials.size() == s.trials->size();
    if (s.phase == Phase::kRunning || s.phase == Phase::kPaused) {
        const bool paused = s.phase == Phase::kPaused;
        b.icon = paused ? QStringLiteral("pause") : QStringLiteral("hourglass");
        b.state.tone = paused ? app::Tone::kNeutral : app::Tone::kInfo;
        b.state.closable = false;
        b.state.title = paused ? Tr::tr("Paused after %1 of %2").arg(s.done).arg(s.total) : Tr::tr("%1 of %2 measured").arg(s.done).arg(s.total) + (s.timeLeft.isEmpty() ? QString() : kDot + s.timeLeft);
        if (judged && s.judgement->winner) {
            const auto& j = s.judgement->trials[*s.judgement->winner];
            b.state.body = Tr::tr("Cheapest so far that passes: %1, %2. The rest may still beat it.").arg(QString::fromStdString((*s.trials)[*s.judgement->winner].candidate), fmt::costSentence(j.cost_per_1m_tokens));
        } else b.state.body = s.done > 0 ? Tr::tr("None passes all limits so far.") : Tr::tr("fp16 is measured first: everything is compared with it.");
        if (paused) b.state.actions = {{QLatin1String(kBannerResume), Tr::tr("Go on"), QStringLiteral("play"), true}, {QLatin1String(kBannerStop), Tr::tr("Stop"), QStringLiteral("stop"), false}};
        else b.state.actions = {{QLatin1String(kBannerPause), Tr::tr("Pause"), QStringLiteral("pause"), false}, {QLatin1String(kBannerStop), Tr::tr("Stop"), QStringLiteral("stop"), false}};
        return b;
    }
    if (s.phase != Phase::kFinished || !judged) return b;
    if (s.judgement->winner) return winnerBanner(s);
    const bool anyDone = std::any_of(s.trials->begin(), s.trials->end(), [](const optimizer::Trial& t) { return t.status == optimizer::TrialStatus::kDone; });
    return anyDone ? nonePasses(s) : b;
}

optimizer::Limits allowed(const app::SweepViewState& s, const QString& id) {
    optimizer::Limits l = s.limits;
    if (!s.judgement) return l;
    const optimizer::Limits& r = s.judgement->relaxed;
    const QString name = id.mid(static_cast<qsizetype>(sizeof(kBannerAllow)) - 1);
    if (name == QLatin1String(optimizer::limit_name(Limit::kPerplexity)) && r.max_ppl_delta) l.max_ppl_delta = roundedUp(*r.max_ppl_delta);
    if (name == QLatin1String(optimizer::limit_name(Limit::kLatency)) && r.max_latency_p99_ms) l.max_latency_p99_ms = roundedUp(*r.max_latency_p99_ms);
    if (name == QLatin1String(optimizer::limit_name(Limit::kThroughput)) && r.min_throughput_tps) l.min_throughput_tps = roundedDown(*r.min_throughput_tps);
    if (name == QLatin1String(optimizer::limit_name(Limit::kMemory)) && r.max_memory_mb) l.max_memory_mb = roundedUp(*r.max_memory_mb);
    if (name == QLatin1String(optimizer::limit_name(Limit::kAccuracy)) && r.min_accuracy) l.min_accuracy = roundedDown(*r.min_accuracy);
    return l;
}

}  // namespace tenpak::ui

// SPDX-License-Identifier: GPL-3.0-or-later
#include "app/candidate_model.h"

#include <algorithm>
#include <cmath>

#include "app/format.h"
#include "app/view_states.h"

namespace tenpak::app {
namespace {

using optimizer::Judged;
using optimizer::Limit;
using optimizer::Trial;
using optimizer::TrialStatus;

bool numeric(int c) { return c >= CandidateColumn::kPerplexity && c <= CandidateColumn::kCost; }
bool fails(const Judged& j, Limit l) { return std::find(j.fails.begin(), j.fails.end(), l) != j.fails.end(); }
std::optional<Limit> limitOfColumn(int column) {
    switch (column) {
        case CandidateColumn::kPerplexity: return Limit::kPerplexity;
        case CandidateColumn::kLatency: return Limit::kLatency;
        case CandidateColumn::kThroughput: return Limit::kThroughput;
        case CandidateColumn::kMemory: return Limit::kMemory;
        default: return {};
    }
}
Qt::Alignment alignment(int column) { return (numeric(column) ? Qt::AlignRight : Qt::AlignLeft) | Qt::AlignVCenter; }

}  // namespace

Mark markOf(const Trial& t, const Judged& j) {
    switch (t.status) {
        case TrialStatus::kQueued: return Mark::kQueued;
        case TrialStatus::kRunning: return Mark::kRunning;
        case TrialStatus::kFailed: return Mark::kFailed;
        case TrialStatus::kDone: break;
    }
    if (j.winner) return Mark::kWinner;
    if (j.baseline) return Mark::kBaseline;
    if (!j.fails.empty()) return Mark::kFails;
    return j.on_front ? Mark::kFront : Mark::kDominated;
}

QString phaseText(const std::string& phase) {
    if (phase == "load") return CandidateModel::tr("Loading");
    if (phase == "quantize") return CandidateModel::tr("Quantizing");
    if (phase == "perplexity") return CandidateModel::tr("Perplexity");
    if (phase == "accuracy") return CandidateModel::tr("Accuracy");
    if (phase == "timing") return CandidateModel::tr("Timing");
    if (phase.empty()) return CandidateModel::tr("Starting");
    QString s = QString::fromStdString(phase);
    s[0] = s[0].toUpper();
    return s;
}

QString limitText(Limit limit) {
    switch (limit) {
        case Limit::kPerplexity: return CandidateModel::tr("perplexity");
        case Limit::kLatency: return CandidateModel::tr("latency");
        case Limit::kThroughput: return CandidateModel::tr("throughput");
        case Limit::kMemory: return CandidateModel::tr("memory");
        case Limit::kAccuracy: return CandidateModel::tr("accuracy");
    }
    return {};
}

QString verdictText(const Trial& t, const Judged& j, bool running, bool started) {
    switch (t.status) {
        case TrialStatus::kQueued: return started ? CandidateModel::tr("Waiting") : CandidateModel::tr("Not measured yet");
        case TrialStatus::kRunning: return phaseText(t.phase) + u' ' + format::progressPercent(t.fraction);
        case TrialStatus::kFailed: return t.error.empty() ? CandidateModel::tr("Failed") : QString::fromStdString(t.error);
        case TrialStatus::kDone: break;
    }
    if (j.winner) return running ? CandidateModel::tr("Cheapest so far") : CandidateModel::tr("Cheapest that passes");
    if (j.fails.size() > 1) return CandidateModel::tr("Fails %1 limits").arg(j.fails.size());
    if (j.fails.size() == 1) return CandidateModel::tr("Fails %1").arg(limitText(j.fails[0]));
    if (j.baseline) return CandidateModel::tr("Baseline");
    return CandidateModel::tr("Passes");
}

void CandidateModel::setResults(Trials trials, Judgement judgement, const optimizer::Limits& limits, bool running, bool started) {
    Q_ASSERT(!trials || (judgement && judgement->trials.size() == trials->size()));
    const std::size_t before = m_trials ? m_trials->size() : 0, after = trials ? trials->size() : 0;
    bool prefix = after >= before;
    for (std::size_t i = 0; prefix && i < before; ++i) prefix = (*m_trials)[i].id == (*trials)[i].id;

    const auto assign = [&] {
        m_trials = std::move(trials);
        m_judgement = std::move(judgement);
        m_limits = limits;
        m_running = running;
        m_started = started;
        m_costLow = INFINITY;
        m_costHigh = -INFINITY;
        if (!m_judgement) return;
        for (const Judged& j : m_judgement->trials) {
            if (!std::isfinite(j.cost_per_1m_tokens)) continue;
            m_costLow = std::min(m_costLow, j.cost_per_1m_tokens);
            m_costHigh = std::max(m_costHigh, j.cost_per_1m_tokens);
        }
    };
    if (!prefix) {
        beginResetModel();
        assign();
        endResetModel();
        return;
    }
    if (after > before) beginInsertRows({}, static_cast<int>(before), static_cast<int>(after) - 1);
    assign();
    if (after > before) endInsertRows();
    if (before > 0) emit dataChanged(index(0, 0), index(static_cast<int>(before) - 1, columnCount() - 1));
}

int CandidateModel::rowOf(const QString& id) const {
    const std::string wanted = id.toStdString();
    for (int i = 0; i < rowCount(); ++i)
        if ((*m_trials)[static_cast<std::size_t>(i)].id == wanted) return i;
    return -1;
}

int CandidateModel::rowCount(const QModelIndex& parent) const { return parent.isValid() || !m_trials ? 0 : static_cast<int>(m_trials->size()); }
int CandidateModel::columnCount(const QModelIndex& parent) const { return parent.isValid() ? 0 : CandidateColumn::kCount; }

QVariant CandidateModel::headerData(int section, Qt::Orientation orientation, int role) const {
    if (orientation != Qt::Horizontal) return {};
    if (role == Qt::TextAlignmentRole) return QVariant::fromValue(alignment(section));
    if (role == Qt::ToolTipRole) {
        switch (section) {
            case CandidateColumn::kPerplexity: return tr("Rise of the perplexity over fp16 on the same tokens, with its 95 % interval");
            case CandidateColumn::kLatency: return tr("Time between two generated tokens, 99th percentile, at the batch used for the cost");
            case CandidateColumn::kThroughput: return tr("Generated tokens per second over the whole batch");
            case CandidateColumn::kSmaller: return tr("16-bit weights over stored bytes");
            case CandidateColumn::kCost: return tr("Price per hour over tokens per hour");
            default: return {};
        }
    }
    if (role != Qt::DisplayRole) return {};
    switch (section) {
        case CandidateColumn::kMark: return QString();
        case CandidateColumn::kCandidate: return tr("Candidate");
        case CandidateColumn::kPerplexity: return tr("Perplexity rise");
        case CandidateColumn::kLatency: return tr("p99, ms");
        case CandidateColumn::kThroughput: return tr("tok/s");
        case CandidateColumn::kMemory: return tr("Memory");
        case CandidateColumn::kSmaller: return tr("Smaller");
        case CandidateColumn::kCost: return tr("$ / 1M tok");
        case CandidateColumn::kVerdict: return tr("Verdict");
        default: return {};
    }
}

QString CandidateModel::display(const Trial& t, const Judged& j, int column) const {
    if (column == CandidateColumn::kMark) return {};
    if (column == CandidateColumn::kCandidate) return QString::fromStdString(t.candidate);
    if (column == CandidateColumn::kVerdict) return verdictText(t, j, m_running, m_started);
    const QString dash = QStringLiteral("\u2013");
    if (t.status != TrialStatus::kDone) return dash;
    const optimizer::Metrics& m = t.metrics;
    const QString approx = t.provenance == optimizer::Provenance::kProjected ? QStringLiteral("\u2248\u00A0") : QString();
    switch (column) {
        case CandidateColumn::kPerplexity:
            if (j.baseline) return tr("perplexity %1").arg(format::significant(m.perplexity));
            return format::percentWithInterval(m.ppl_delta, m.ppl_delta_low, m.ppl_delta_high);
        case CandidateColumn::kLatency: return approx + format::significant(j.p99_ms);
        case CandidateColumn::kThroughput: return approx + format::significant(j.throughput_tps);
        case CandidateColumn::kMemory: return m.memory_bytes > 0 ? format::bytes(static_cast<double>(m.memory_bytes)) : dash;
        case CandidateColumn::kSmaller: return std::isfinite(m.compression) ? format::significant(m.compression) + QStringLiteral("\u202F\u00D7") : dash;
        case CandidateColumn::kCost: return approx + format::costPerMillion(j.cost_per_1m_tokens).remove(u'$');
        default: return {};
    }
}

QVariant CandidateModel::sortKey(const Trial& t, const Judged& j, int column) const {
    const double none = std::nan("");
    const bool done = t.status == TrialStatus::kDone;
    switch (column) {
        case CandidateColumn::kMark: return static_cast<double>(markOf(t, j));
        case CandidateColumn::kCandidate: return QString::fromStdString(t.candidate);
        case CandidateColumn::kPerplexity: return done ? t.metrics.ppl_delta : none;
        case CandidateColumn::kLatency: return done ? j.p99_ms : none;
        case CandidateColumn::kThroughput: return done ? j.throughput_tps : none;
        case CandidateColumn::kMemory: return done ? static_cast<double>(t.metrics.memory_bytes) : none;
        case CandidateColumn::kSmaller: return done ? t.metrics.compression : none;
        case CandidateColumn::kCost: return done ? j.cost_per_1m_tokens : none;
        case CandidateColumn::kVerdict: return verdictText(t, j, m_running, m_started);
        default: return {};
    }
}

QString CandidateModel::limitToolTip(const Judged& j, int column) const {
    const auto limit = limitOfColumn(column);
    if (!limit || !fails(j, *limit)) return {};
    switch (*limit) {
        case Limit::kPerplexity: return tr("Limit %1, and the upper end of the interval counts").arg(format::signedPercent(m_limits.max_ppl_delta.value_or(NAN)));
        case Limit::kLatency: return tr("Limit %1").arg(format::milliseconds(m_limits.max_latency_p99_ms.value_or(NAN)));
        case Limit::kThroughput: return tr("Limit %1 at least").arg(format::tokensPerSecond(m_limits.min_throughput_tps.value_or(NAN)));
        case Limit::kMemory: return tr("Limit %1").arg(format::bytes(m_limits.max_memory_mb.value_or(NAN) * 1e6));
        case Limit::kAccuracy: return tr("Limit %1 at least").arg(format::percent(m_limits.min_accuracy.value_or(NAN)));
    }
    return {};
}

double CandidateModel::costStep(double cost) const {
    if (!std::isfinite(cost)) return cost;
    return m_costHigh > m_costLow ? (cost - m_costLow) / (m_costHigh - m_costLow) : 0;
}

QVariant CandidateModel::data(const QModelIndex& index, int role) const {
    if (!checkIndex(index, CheckIndexOption::IndexIsValid | CheckIndexOption::ParentIsInvalid)) return {};
    const auto row = static_cast<std::size_t>(index.row());
    const Trial& t = (*m_trials)[row];
    const Judged& j = m_judgement->trials[row];
    const int column = index.column();
    const bool done = t.status == TrialStatus::kDone, verdict = column == CandidateColumn::kVerdict;
    const auto limit = limitOfColumn(column);
    switch (role) {
        case Qt::DisplayRole: return display(t, j, column);
        case Qt::AccessibleTextRole: return column == CandidateColumn::kMark ? verdictText(t, j, m_running, m_started) : display(t, j, column);
        case Qt::TextAlignmentRole: return QVariant::fromValue(alignment(column));
        case Qt::ToolTipRole: {
            if (verdict && t.status == TrialStatus::kFailed) return QString::fromStdString(t.error);
            const QString s = limitToolTip(j, column);
            return s.isEmpty() ? QVariant() : QVariant(s);
        }
        case kIdRole: return QString::fromStdString(t.id);
        case kSortRole: return sortKey(t, j, column);
        case kMarkRole: return column == CandidateColumn::kMark ? QVariant(static_cast<int>(markOf(t, j))) : QVariant();
        case kCostStepRole: return column == CandidateColumn::kMark ? QVariant(costStep(j.cost_per_1m_tokens)) : QVariant();
        case kStrongRole: return column == CandidateColumn::kCandidate && j.winner;
        case kMutedRole: return !done && column != CandidateColumn::kCandidate && t.status != TrialStatus::kFailed;
        case kProgressRole:
            if ((verdict || column == CandidateColumn::kMark) && t.status == TrialStatus::kRunning) return t.fraction;
            return {};
        case kToneRole:
            if (done && limit && fails(j, *limit)) return static_cast<int>(Tone::kError);
            if (!verdict || t.status == TrialStatus::kQueued || t.status == TrialStatus::kRunning) return {};
            if (t.status == TrialStatus::kFailed) return static_cast<int>(Tone::kWarn);
            if (j.winner) return static_cast<int>(Tone::kOk);
            return static_cast<int>(j.fails.empty() ? Tone::kNeutral : Tone::kError);
        case kPillRole:
            if (!verdict || t.status == TrialStatus::kQueued || t.status == TrialStatus::kRunning) return {};
            if (t.status == TrialStatus::kFailed) return QStringLiteral("warn");
            if (j.winner) return QStringLiteral("star");
            if (!j.fails.empty()) return QStringLiteral("cross");
            return j.baseline ? QStringLiteral("model") : QStringLiteral("check");
        default: return {};
    }
}

}  // namespace tenpak::app

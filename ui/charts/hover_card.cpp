// SPDX-License-Identifier: GPL-3.0-or-later
// The card of the point under pointer or cursor: docked in the emptiest corner of the plot, so that it hides little and
// never jumps about.
#include <QCoreApplication>
#include <QPainter>
#include <array>

#include "app/candidate_model.h"
#include "app/format.h"
#include "app/view_states.h"
#include "ui/charts/pareto_scene.h"
#include "ui/charts/provenance_text.h"
#include "ui/theme/paint.h"
#include "ui/theme/theme.h"

namespace tenpak::ui {
namespace {
namespace fmt = app::format;
using optimizer::Limit;

/// lupdate knows the context by this.
struct Tr {
    Q_DECLARE_TR_FUNCTIONS(ParetoPlot)
};

struct CardRow {
    QString name, value;
    bool fails = false;
};

std::vector<CardRow> rowsOf(const optimizer::Trial& t, const optimizer::Judged& j) {
    const auto fails = [&j](Limit l) { return std::find(j.fails.begin(), j.fails.end(), l) != j.fails.end(); };
    const QString approx = t.provenance == optimizer::Provenance::kProjected ? QStringLiteral("\u2248\u00A0") : QString();
    const optimizer::Metrics& m = t.metrics;
    std::vector<CardRow> rows;
    rows.push_back({Tr::tr("Perplexity"), fmt::significant(m.perplexity, 4) + QStringLiteral("  (") + fmt::percentWithInterval(m.ppl_delta, m.ppl_delta_low, m.ppl_delta_high) + QLatin1Char(')'), fails(Limit::kPerplexity)});
    rows.push_back({Tr::tr("Latency p99"), approx + fmt::milliseconds(j.p99_ms) + Tr::tr("   p50 %1").arg(fmt::milliseconds(j.p50_ms)), fails(Limit::kLatency)});
    rows.push_back({Tr::tr("Throughput"), approx + fmt::tokensPerSecond(j.throughput_tps) + Tr::tr("   batch %1").arg(j.batch), fails(Limit::kThroughput)});
    if (std::isfinite(j.cost_per_1m_tokens)) rows.push_back({Tr::tr("Cost"), approx + fmt::costSentence(j.cost_per_1m_tokens), false});
    if (m.memory_bytes > 0)
        rows.push_back({Tr::tr("Memory"), fmt::bytes(static_cast<double>(m.memory_bytes)) + (std::isfinite(m.compression) ? Tr::tr("   %1\u00D7 smaller").arg(fmt::significant(m.compression)) : QString()), fails(Limit::kMemory)});
    return rows;
}

}  // namespace

void ParetoScene::paintCard(QPainter& p, const PlacedMark& mark) const {
    const Tokens& t = theme();
    const PlotPoint& point = pointOf(mark);
    const optimizer::Trial& trial = (*data.trials)[point.trial];
    const optimizer::Judged& judged = data.judgement->trials[point.trial];
    const QFont caption = typeFont(Type::kCaption), strong = typeFont(Type::kBodyStrong);
    const auto rows = rowsOf(trial, judged);
    const QString verdict = app::verdictText(trial, judged, false, true), origin = provenanceText(trial);

    constexpr double kPad = 12, kNames = 84;
    const double line = textHeight(caption) + 3, head = textHeight(strong);
    double w = std::max(230.0, textWidth(strong, point.label) + textWidth(caption, verdict) + 2 * kPad + 16);
    w = std::max(w, textWidth(caption, origin) + 2 * kPad);
    for (const CardRow& r : rows) w = std::max(w, kNames + textWidth(caption, r.value) + 2 * kPad);
    w = std::ceil(w) + 2;
    const double h = kPad + head + 6 + static_cast<double>(rows.size() + 1) * line + 3 + kPad - 2;

    const QRectF area = plot().adjusted(8, 8, -8, -8);
    const std::array<QRectF, 4> corners = {QRectF(area.right() - w, area.top(), w, h), QRectF(area.left(), area.top(), w, h), QRectF(area.right() - w, area.bottom() - h, w, h), QRectF(area.left(), area.bottom() - h, w, h)};
    const QRectF* box = nullptr;
    double fewest = 0;
    for (const QRectF& corner : corners) {
        double hidden = corner.adjusted(-16, -16, 16, 16).contains(mark.at) ? 1e9 : 0;  // never over its own point
        for (const PlacedMark& m : m_marks)
            if (corner.adjusted(-10, -10, 10, 10).contains(m.at)) hidden += pointOf(m).mark == app::Mark::kWinner ? 3 : 1;
        if (box == nullptr || hidden < fewest) {
            box = &corner;
            fewest = hidden;
        }
    }
    p.setPen(Qt::NoPen);
    for (int i = 6; i > 0; --i) {
        p.setBrush(QColor(0, 0, 0, t.dark ? 22 : 7));
        p.drawRoundedRect(box->adjusted(-i, -i + 3, i, i + 3), radius::kCard + i, radius::kCard + i);
    }
    drawBox(p, *box, t.card, mix(t.border, t.borderStrong, .3), radius::kCard);
    double y = box->top() + 10;
    const double left = box->left() + kPad, width = w - 2 * kPad;
    p.setPen(t.text);
    drawText(p, QRectF(left, y, width, head), Qt::AlignLeft | Qt::AlignVCenter, point.label, strong);
    p.setPen(!judged.fails.empty() ? t.err : judged.winner ? t.ok : t.text2);
    drawText(p, QRectF(left, y, width, head), Qt::AlignRight | Qt::AlignVCenter, verdict, caption);
    y += head + 6;
    for (const CardRow& r : rows) {
        p.setPen(t.text2);
        drawText(p, QRectF(left, y, kNames, line), Qt::AlignLeft | Qt::AlignVCenter, r.name, caption);
        p.setPen(r.fails ? t.err : t.text);
        drawText(p, QRectF(left + kNames, y, width - kNames, line), Qt::AlignLeft | Qt::AlignVCenter, r.value, caption);
        y += line;
    }
    p.setPen(t.text2);
    drawText(p, QRectF(left, y + 3, width, line), Qt::AlignLeft | Qt::AlignVCenter, origin, caption);
}

}  // namespace tenpak::ui

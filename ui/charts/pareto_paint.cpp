// SPDX-License-Identifier: GPL-3.0-or-later
#include <QCoreApplication>
#include <QHash>
#include <QPainter>
#include <algorithm>

#include "app/format.h"
#include "ui/charts/pareto_scene.h"
#include "ui/charts/ticks.h"
#include "ui/theme/marks.h"
#include "ui/theme/paint.h"
#include "ui/theme/theme.h"

namespace tenpak::ui {
namespace {
namespace fmt = app::format;
constexpr std::size_t kSprites = 300;  // beyond it marks are stamped from pixmaps
constexpr int kLeftV = Qt::AlignLeft | Qt::AlignVCenter, kRightV = Qt::AlignRight | Qt::AlignVCenter;

/// lupdate knows the context by this.
struct Tr {
    Q_DECLARE_TR_FUNCTIONS(ParetoPlot)
};
MarkStyle styleOf(const PlotPoint& p, bool large) { return {p.mark, costColor(p.costShare), p.projected, 0, large}; }

struct LegendEntry {
    app::Mark mark;
    bool projected;
    QString text;
};
}  // namespace

void ParetoScene::paintBase(QPainter& p) const {
    paintTitles(p);
    if (scale.known) paintTickLabels(p);
    if (!m_marks.empty()) paintCostLegend(p);
    p.save();
    p.setClipRect(plot().adjusted(-1, -1, 1, 1));
    paintLimits(p);
    if (m_marks.size() <= kSprites) paintWhiskers(p);
    p.restore();
    paintPoints(p);
    if (m_marks.empty()) paintEmpty(p);
    else paintShapeLegend(p);
    if (data.notShown > 0) {
        p.setPen(theme().warn);
        drawText(p, notDrawnRect(), kRightV, Tr::tr("%n failed, not drawn", nullptr, data.notShown), typeFont(Type::kCaption));
    }
}

void ParetoScene::paintTitles(QPainter& p) const {
    const Tokens& t = theme();
    const QFont strong = typeFont(Type::kBodyStrong), caption = typeFont(Type::kCaption);
    const QRectF r = plot();
    const QString y = Tr::tr("Perplexity increase over fp16, %"), x = Tr::tr("Latency p99, ms per token (log)");
    const double yWidth = textWidth(strong, y);
    p.setPen(t.text);
    drawText(p, QRectF(r.left() - 44, 4, yWidth, 18), kLeftV, y, strong);
    const double xWidth = textWidth(strong, x);
    drawText(p, QRectF(r.right() - xWidth, r.bottom() + 24, xWidth, 18), kRightV, x, strong);
    p.setPen(t.text2);
    const QString better = Tr::tr("lower is better");
    drawText(p, QRectF(r.left() - 44 + yWidth + 8, 4, textWidth(caption, better), 18), kLeftV, better, caption);
    const QRectF corner(r.left() + 5, r.bottom() - 19, 80, 16);
    const auto covers = [&corner](const PlacedMark& m) { return corner.adjusted(-10, -10, 0, 10).contains(m.at); };
    if (std::none_of(m_marks.begin(), m_marks.end(), covers)) drawText(p, corner, kLeftV, Tr::tr("\u2199 better"), caption);
}

void ParetoScene::paintTickLabels(QPainter& p) const {
    const QFont caption = typeFont(Type::kCaption);
    const QRectF r = plot();
    p.setPen(theme().text2);
    const auto yLabels = tickLabels(m_yTicks), xLabels = tickLabels(m_xTicks);
    for (std::size_t i = 0; i < m_yTicks.size(); ++i)
        drawText(p, QRectF(r.left() - 48, scale.map(r, scale.x0, m_yTicks[i]).y() - 8, 40, 16), kRightV, yLabels[i], caption);
    double lastRight = -1e9;
    for (std::size_t i = 0; i < m_xTicks.size(); ++i) {
        const double w = textWidth(caption, xLabels[i]), x = scale.map(r, m_xTicks[i], scale.y0).x();
        if (x - w / 2 < lastRight + 6 || x + w / 2 > r.right() + 14) continue;
        drawText(p, QRectF(x - w / 2, r.bottom() + 6, w, 16), Qt::AlignCenter, xLabels[i], caption);
        lastRight = x + w / 2;
    }
}

void ParetoScene::paintCostLegend(QPainter& p) const {
    if (!std::isfinite(data.costLow)) return;
    const Tokens& t = theme();
    const QFont caption = typeFont(Type::kCaption);
    const QRectF r = plot();
    const auto text = [&](double right, const QString& s) {
        const double w = textWidth(caption, s);
        drawText(p, QRectF(right - w, 4, w, 18), kRightV, s, caption);
        return right - w;
    };
    p.setPen(t.text2);
    double x = text(r.right(), fmt::costPerMillion(data.costHigh)) - 6;
    constexpr double kSwatch = 16;
    for (auto c = t.cost.rbegin(); c != t.cost.rend(); ++c) {
        x -= kSwatch;
        p.fillRect(QRectF(x, 9, kSwatch - 1, 9), *c);
    }
    x = text(x - 6, fmt::costPerMillion(data.costLow));
    const QString title = Tr::tr("Cost per 1M tokens");
    // In a narrow chart the colours keep their ends; the table names the unit.
    const double titleEnd = r.left() - 44 + textWidth(typeFont(Type::kBodyStrong), Tr::tr("Perplexity increase over fp16, %")) + 8 + textWidth(caption, Tr::tr("lower is better"));
    if (x - 10 - textWidth(caption, title) > titleEnd + 12) text(x - 10, title);
}

void ParetoScene::paintLimits(QPainter& p) const {
    const Tokens& t = theme();
    const QFont caption = typeFont(Type::kCaption);
    const QRectF r = plot();
    const double lx = limitX(), ly = limitY();
    if (!std::isfinite(lx) && !std::isfinite(ly)) return;
    QPainterPath outside, inside;
    outside.addRect(r);
    inside.addRect(QRectF(QPointF(r.left(), std::isfinite(ly) ? ly : r.top()), QPointF(std::isfinite(lx) ? lx : r.right(), r.bottom())));
    p.fillPath(outside.subtracted(inside), t.dark ? QColor(0, 0, 0, 70) : QColor(24, 33, 45, 13));
    p.setPen(QPen(t.warn, 1.25, Qt::DashLine));
    if (std::isfinite(lx)) p.drawLine(QPointF(lx, r.top()), QPointF(lx, r.bottom()));
    if (std::isfinite(ly)) p.drawLine(QPointF(r.left(), ly), QPointF(r.right(), ly));
    p.setPen(t.warn);
    if (std::isfinite(lx)) {
        p.save();
        p.setClipping(false);
        const QString s = QStringLiteral("\u2264\u00A0") + fmt::trimmed(*limits.max_latency_p99_ms) + QStringLiteral("\u00A0ms");
        const double w = textWidth(caption, s);
        drawText(p, QRectF(std::clamp(lx - w / 2, r.left(), r.right() - w), r.top() - 18, w, 16), Qt::AlignCenter, s, caption);
        p.restore();
    }
    if (std::isfinite(ly)) {
        const QString s = QStringLiteral("\u2264\u00A0+") + fmt::trimmed(*limits.max_ppl_delta, 2) + QStringLiteral("\u202F%");
        drawText(p, limitYLabel(), kRightV, s, caption);
    }
}

void ParetoScene::paintWhiskers(QPainter& p) const {
    p.setPen(QPen(mix(theme().surface, theme().text2, .75), 1.2));
    for (const PlacedMark& m : m_marks) {
        const PlotPoint& c = pointOf(m);
        if (m.beyondTop || m.beyondRight || !std::isfinite(c.low) || !std::isfinite(c.high) || c.high <= c.low) continue;
        const double x = m.at.x(), low = scale.map(plot(), c.x, c.low).y(), high = scale.map(plot(), c.x, c.high).y();
        p.drawLine(QPointF(x, low), QPointF(x, high));
        p.drawLine(QPointF(x - 3, low), QPointF(x + 3, low));
        p.drawLine(QPointF(x - 3, high), QPointF(x + 3, high));
    }
}

void ParetoScene::paintPoints(QPainter& p) const {
    const auto important = [](const PlotPoint& c) { return c.onFront || c.mark == app::Mark::kWinner || c.mark == app::Mark::kBaseline; };
    if (m_marks.size() <= kSprites) {
        for (bool pass : {false, true})
            for (const PlacedMark& m : m_marks)
                if (important(pointOf(m)) == pass) paintMark(p, m.at, styleOf(pointOf(m), false));
        return;
    }
    // One stamp a shape and cost step.
    const qreal dpr = p.device()->devicePixelRatioF();
    QHash<int, QPixmap> stamps;
    for (bool pass : {false, true})
        for (const PlacedMark& m : m_marks) {
            const PlotPoint& c = pointOf(m);
            if (important(c) != pass) continue;
            const int step = std::isfinite(c.costShare) ? std::min(4, static_cast<int>(c.costShare * 5)) : 5;
            QPixmap& stamp = stamps[(static_cast<int>(c.mark) * 8 + step) * 2 + (c.projected ? 1 : 0)];
            if (stamp.isNull()) {
                stamp = QPixmap((QSizeF(24, 24) * dpr).toSize());
                stamp.setDevicePixelRatio(dpr);
                stamp.fill(Qt::transparent);
                QPainter inner(&stamp);
                paintMark(inner, QPointF(12, 12), styleOf(c, false));
            }
            p.drawPixmap((m.at - QPointF(12, 12)).toPoint(), stamp);  // whole pixels: no resampling
        }
}

QRectF ParetoScene::notDrawnRect() const {
    if (data.notShown == 0) return {};
    const double w = textWidth(typeFont(Type::kCaption), Tr::tr("%n failed, not drawn", nullptr, data.notShown));
    return {plot().right() - w, plot().bottom() + 46, w, 18};
}

void ParetoScene::paintShapeLegend(QPainter& p) const {
    using app::Mark;
    const Tokens& t = theme();
    const QFont caption = typeFont(Type::kCaption);
    const double end = data.notShown > 0 ? notDrawnRect().left() - 12 : plot().right() + 10;
    bool projected = false;
    for (const PlotPoint& c : data.points) projected = projected || c.projected;
    std::vector<LegendEntry> entries = {{Mark::kWinner, false, Tr::tr("cheapest that passes")}, {Mark::kFront, false, Tr::tr("on the front")}, {Mark::kDominated, false, Tr::tr("dominated")},
                                        {Mark::kFails, false, Tr::tr("fails a limit")}, {Mark::kBaseline, false, Tr::tr("fp16 baseline")}};
    if (projected) entries.push_back({Mark::kFront, true, Tr::tr("projected")});
    double x = plot().left() - 8;
    const double y = plot().bottom() + 55;
    for (const LegendEntry& e : entries) {
        const double w = textWidth(caption, e.text);
        if (x + 18 + w > end) break;
        p.save();
        p.translate(x + 8, y);
        p.scale(.8, .8);
        paintMark(p, {}, {e.mark, t.text2, e.projected, 0, false});
        p.restore();
        p.setPen(t.text2);
        drawText(p, QRectF(x + 20, y - 9, w, 18), kLeftV, e.text, caption);
        x += 20 + w + 14;
    }
}

void ParetoScene::paintEmpty(QPainter& p) const {
    if (emptyText.isEmpty()) return;
    const QFont body = typeFont(Type::kBody);
    const double w = textWidth(body, emptyText) + 32;
    const QRectF box(plot().center().x() - w / 2, plot().center().y() - 18, w, 36);
    drawBox(p, box, theme().surface, {}, radius::kControl);
    p.setPen(theme().text2);
    drawText(p, box, Qt::AlignCenter, emptyText, body);
}

void ParetoScene::paintNames(QPainter& p) const {
    const Tokens& t = theme();
    for (const PlacedMark& m : m_marks) {
        if (!m.label) continue;
        const PlotPoint& c = pointOf(m);
        const bool winner = c.mark == app::Mark::kWinner;
        const QFont f = typeFont(winner ? Type::kBodyStrong : Type::kCaption);
        const QString name = nameText(m);
        QPainterPath halo;
        halo.addText(m.label->left() + 2, m.label->top() + QFontMetricsF(f).ascent(), f, name);
        p.setBrush(Qt::NoBrush);
        p.setPen(QPen(t.surface, 3, Qt::SolidLine, Qt::RoundCap, Qt::RoundJoin));
        p.drawPath(halo);
        p.setPen(winner || c.id == current ? t.text : t.text2);
        drawText(p, m.label->adjusted(2, 0, 0, 0), Qt::AlignLeft | Qt::AlignTop, name, f);
    }
}

void ParetoScene::paintTop(QPainter& p) const {
    const Tokens& t = theme();
    const auto ring = [&](const PlacedMark& m, const QPen& pen) {
        const double radius = pointOf(m).mark == app::Mark::kWinner ? 15 : 11;
        p.setBrush(Qt::NoBrush);
        p.setPen(pen);
        p.drawEllipse(m.at, radius, radius);
    };
    if (!current.isEmpty() || !compared.isEmpty())
        for (const PlacedMark& m : m_marks) {
            const QString& id = pointOf(m).id;
            if (id == current) ring(m, QPen(t.accent, owner->hasFocus() ? 2.5 : 2));
            else if (compared.contains(id)) ring(m, QPen(t.accent, 1.5, Qt::DotLine));
        }
    if (showsFocus(owner)) drawFocusRing(p, QRectF(QPointF(0, 0), QSizeF(m_view->size())));
    if (const PlacedMark* m = markOf(hover)) {
        if (hover != current) ring(*m, QPen(t.text, 1.75));
        paintCard(p, *m);
    }
}

}  // namespace tenpak::ui

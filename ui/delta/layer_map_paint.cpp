// SPDX-License-Identifier: GPL-3.0-or-later
#include <QPainter>

#include "app/format.h"
#include "ui/delta/layer_map.h"
#include "ui/theme/paint.h"
#include "ui/theme/theme.h"

namespace tenpak::ui {
namespace {
namespace fmt = app::format;
constexpr double kBlockWidth = 46;
constexpr double kLine = 14;          // height of a caption line
constexpr double kPaleBits = 0.12;    // below it a cell hardly differs from the card: outlined

QColor barColor() { return mix(theme().surface, theme().accent, theme().dark ? .75 : .85); }
}  // namespace

QColor LayerMap::cellColor(const GridCell& c) const {
    const Tokens& t = theme();
    switch (m_metric) {
        case Metric::kBits: return ramp(t.bits, c.bitsOf / m_fullBits);
        case Metric::kChanged: return ramp(t.bits, c.changed);
        case Metric::kMethod: return methodColor(t, c.method);
    }
    return t.track;
}

void LayerMap::paintEvent(QPaintEvent*) {
    QPainter p(this);
    p.setRenderHint(QPainter::Antialiasing);
    if (!m_estimate || m_cells.empty()) {
        p.setPen(theme().text2);
        drawText(p, rect(), Qt::AlignCenter, m_empty, typeFont(Type::kBody));
        return;
    }
    if (m_stale) p.setOpacity(.45);
    if (m_grid.layers == 0) {
        paintLargest(p);
    } else {
        paintBars(p);
        for (std::size_t i = 0; i < m_cells.size(); ++i) paintCell(p, m_grid.cells[i], m_cells[i]);
        paintNames(p);
        paintLegend(p);
    }
    p.setOpacity(1);
    paintRings(p);
    if (showsFocus(this)) drawFocusRing(p, rect());
}

void LayerMap::paintColumn(QPainter& p, const GridColumn& c, double x, double width, double scale) const {
    const Tokens& t = theme();
    const double base = m_g.barHeight + 4, full = m_g.barHeight - 18;
    const auto heightOf = [&](double bytes) { return std::min(1.0, bytes / scale) * full; };
    const double gap = m_g.cellWidth > 14 ? 2 : 1;
    const QRectF raw(x + gap / 2, base - heightOf(c.raw), width - gap, heightOf(c.raw));
    p.fillRect(raw, t.track);
    if (!c.read) {
        drawHatch(p, raw, t.border);
        return;
    }
    p.fillRect(QRectF(raw.left(), base - heightOf(c.estimated), raw.width(), heightOf(c.estimated)), barColor());
    const double half = heightOf(c.halfRange);
    if (half <= .8 || width < 6) return;
    p.setPen(QPen(t.text, 1));
    const double middle = x + width / 2, at = base - heightOf(c.estimated), low = std::min(base, at + half), high = at - half;
    p.drawLine(QPointF(middle, high), QPointF(middle, low));
    p.drawLine(QPointF(middle - 2, high), QPointF(middle + 2, high));
    p.drawLine(QPointF(middle - 2, low), QPointF(middle + 2, low));
}

void LayerMap::paintBars(QPainter& p) const {
    const Tokens& t = theme();
    const QFont caption = typeFont(Type::kCaption);
    const double largest = std::max(1.0, m_grid.largestLayer);
    for (std::size_t k = 0; k < m_grid.columns.size(); ++k)
        paintColumn(p, m_grid.columns[k], m_g.layersLeft + static_cast<double>(k) * m_g.cellWidth, m_g.cellWidth, largest);
    const auto side = [&](bool has, const GridColumn& c, double x) {
        if (!has) return;
        paintColumn(p, c, x, kBlockWidth, std::max(largest, c.raw));  // a block higher than all layers has its own scale
        p.setPen(t.text2);
        drawText(p, QRectF(x - 8, 0, kBlockWidth + 16, kLine), Qt::AlignCenter, fmt::bytes(c.raw), caption);
    };
    side(m_grid.hasLeft, m_grid.left, m_g.left);
    side(m_grid.hasRight, m_grid.right, m_g.rightBlock);
    p.setPen(t.text2);
    drawText(p, QRectF(0, 0, m_g.left - 10, kLine), Qt::AlignRight | Qt::AlignVCenter, tr("stored"), caption);
    drawText(p, QRectF(0, kLine, m_g.left - 10, kLine), Qt::AlignRight | Qt::AlignVCenter, tr("of raw"), caption);
    const QString each = tr("%1 raw a layer").arg(fmt::bytes(m_grid.largestLayer));
    if (textWidth(caption, each) < m_g.cellWidth * m_grid.layers - 12)
        drawText(p, QRectF(m_g.layersLeft + 1, 0, m_g.cellWidth * m_grid.layers - 12, kLine), Qt::AlignLeft | Qt::AlignVCenter, each, caption);
}

void LayerMap::paintCell(QPainter& p, const GridCell& c, const QRectF& r) const {
    const Tokens& t = theme();
    const double gap = m_g.cellWidth > 14 ? 2 : 1;
    const QRectF whole = r.adjusted(gap / 2, gap / 2, -gap / 2, -gap / 2);
    if (!c.read()) {
        p.fillRect(whole, t.sunken);
        drawHatch(p, whole, t.border);
        return;
    }
    // Half the size at a range of +-35 % or wider, full size once it is certain.
    const double certain = std::clamp(1 - c.spread() / .35, 0.0, 1.0), share = .5 + .5 * certain;
    const double inset = std::min(whole.width(), whole.height()) * (1 - share) / 2;
    if (inset > .02) p.fillRect(whole, t.sunken);
    const QRectF inner = whole.adjusted(inset, inset, -inset, -inset);
    p.fillRect(inner, cellColor(c));
    const double value = m_metric == Metric::kBits ? c.bitsOf / m_fullBits : c.changed;
    if (m_metric != Metric::kMethod && value < kPaleBits) {
        p.setPen(QPen(t.border, 1));
        p.setBrush(Qt::NoBrush);
        p.drawRect(inner.adjusted(.5, .5, -.5, -.5));
    }
    if (m_metric == Metric::kMethod && m_g.cellWidth >= 18 && m_g.cellHeight >= 14) {
        p.setPen(inkOn(cellColor(c)));
        drawText(p, r, Qt::AlignCenter, methodSign(c.method), typeFont(Type::kCaption));
    }
}

void LayerMap::paintNames(QPainter& p) const {
    const Tokens& t = theme();
    const QFont caption = typeFont(Type::kCaption);
    const GridCell* lit = active() >= 0 ? &m_grid.cells[static_cast<std::size_t>(active())] : nullptr;
    // Rows lower than a line of text: every second name.
    const int rowStep = m_g.cellHeight < textHeight(caption) - 2 ? 2 : 1;
    for (int r = 0; r < m_grid.rows.size(); r += rowStep) {
        p.setPen(lit && lit->row == r ? t.text : t.text2);
        drawText(p, QRectF(0, m_g.top + r * m_g.cellHeight, m_g.left - 10, m_g.cellHeight), Qt::AlignRight | Qt::AlignVCenter, m_grid.rows.at(r), caption);
    }
    const double y = m_g.top + static_cast<double>(m_grid.rows.size()) * m_g.cellHeight + 3;
    const double need = textWidth(caption, QString::number(m_grid.layers)) + 6;
    int step = 1;
    for (int candidate : {1, 2, 5, 10, 20, 50}) {
        step = candidate;
        if (candidate * m_g.cellWidth >= need) break;
    }
    const int litLayer = lit ? lit->layer : -1, last = m_grid.layers - 1;
    const auto tooNear = [&](int a, int b) { return std::abs(a - b) * m_g.cellWidth < need; };
    for (int k = 0; k <= last; ++k) {
        const bool isLit = k == litLayer;
        if (!isLit && k % step != 0 && k != last) continue;
        if (!isLit && litLayer >= 0 && tooNear(k, litLayer)) continue;
        if (!isLit && k != last && tooNear(k, last)) continue;
        p.setPen(isLit ? t.text : t.text2);
        drawText(p, QRectF(m_g.layersLeft + k * m_g.cellWidth - 20, y, m_g.cellWidth + 40, kLine), Qt::AlignCenter, QString::number(k), caption);
    }
    p.setPen(t.text2);
    if (m_grid.hasLeft) drawText(p, QRectF(m_g.left - 10, y, kBlockWidth + 20, kLine), Qt::AlignCenter, tr("embed"), caption);
    if (m_grid.hasRight) drawText(p, QRectF(m_g.rightBlock - 10, y, kBlockWidth + 20, kLine), Qt::AlignCenter, tr("head"), caption);
}

void LayerMap::paintLegend(QPainter& p) const {
    if (m_metric == Metric::kMethod) return;  // the panel beside the map is the legend of the methods
    const Tokens& t = theme();
    const QFont caption = typeFont(Type::kCaption);
    const double y = m_g.top + static_cast<double>(m_grid.rows.size()) * m_g.cellHeight + 26;
    double x = m_grid.hasLeft ? m_g.left : m_g.layersLeft;
    const auto text = [&](const QString& s, double gapAfter) {
        p.setPen(t.text2);
        const double w = textWidth(caption, s);
        drawText(p, QRectF(x, y - 2, w, kLine), Qt::AlignLeft | Qt::AlignVCenter, s, caption);
        x += w + gapAfter;
    };
    constexpr int kSteps = 32;
    constexpr double kStep = 5;
    text(m_metric == Metric::kBits ? QStringLiteral("0") : fmt::percent(0, 0), 6);
    for (int i = 0; i < kSteps; ++i) p.fillRect(QRectF(x + i * kStep, y, kStep + .5, 10), ramp(t.bits, i / double(kSteps - 1)));
    p.setPen(QPen(t.border, 1));
    p.setBrush(Qt::NoBrush);
    p.drawRect(QRectF(x + .5, y + .5, kSteps * kStep - 1, 9));
    x += kSteps * kStep + 6;
    text(m_metric == Metric::kBits ? m_fullBits > 0 && m_fullBits < 16 ? tr("%1 bit per weight or more").arg(m_fullBits) : tr("16 bit per weight") : tr("100 % of the weights changed"), 24);
    if (!m_grid.partial) return;
    const auto sample = [&](const QString& s, auto paint) {
        if (x + 20 + textWidth(caption, s) > width()) return;  // a narrow map keeps the colour scale only
        const QRectF box(x, y - 2, kLine, kLine);
        p.fillRect(box, t.sunken);
        paint(box);
        x += 20;
        text(s, 16);
    };
    sample(tr("not read yet"), [&](const QRectF& b) { drawHatch(p, b, t.border); });
    sample(tr("wide range"), [&](const QRectF& b) { p.fillRect(b.adjusted(3.5, 3.5, -3.5, -3.5), t.bits[5]); });
    sample(tr("narrow range"), [&](const QRectF& b) { p.fillRect(b, t.bits[5]); });
}

void LayerMap::paintRings(QPainter& p) const {
    const auto ring = [&](int cell, const QColor& color, double width) {
        if (cell < 0 || cell >= static_cast<int>(m_cells.size())) return;
        const QRectF& r = m_cells[static_cast<std::size_t>(cell)];
        p.setBrush(Qt::NoBrush);
        p.setPen(QPen(theme().surface, width + 2));
        p.drawRect(r);
        p.setPen(QPen(color, width));
        p.drawRect(r);
    };
    ring(m_hovered, theme().text2, 1.5);
    ring(m_current, theme().accent, 2.25);
}

void LayerMap::paintLargest(QPainter& p) const {
    const Tokens& t = theme();
    const QFont caption = typeFont(Type::kCaption);
    p.setPen(t.text2);
    drawText(p, QRectF(0, 0, width(), 16), Qt::AlignLeft | Qt::AlignVCenter,
             tr("This model has no numbered layers. Its %n largest tensor(s), stored of raw:", nullptr, static_cast<int>(m_largest.size())), caption);
    if (m_largest.empty()) return;
    const double names = std::min(320.0, width() * .4);
    const auto largest = static_cast<double>(std::max<std::uint64_t>(1, m_estimate->tensors[m_largest.front()].raw_bytes));
    const double room = width() - names - 12;
    const int nameStep = std::max(1, static_cast<int>(std::ceil(textHeight(caption) / m_cells.front().height())));
    for (std::size_t i = 0; i < m_largest.size(); ++i) {
        const auto& tensor = m_estimate->tensors[m_largest[i]];
        const QRectF& row = m_cells[i];
        const double gap = row.height() > 8 ? 2 : .5;
        const QRectF raw(names + 12, row.top() + gap / 2, room * static_cast<double>(tensor.raw_bytes) / largest, row.height() - gap);
        p.fillRect(raw, t.track);
        if (!tensor.complete && tensor.sampled_fraction <= 0) drawHatch(p, raw, t.border);
        else p.fillRect(QRectF(raw.topLeft(), QSizeF(room * tensor.estimated_bytes / largest, raw.height())), barColor());
        if (static_cast<int>(i) % nameStep != 0) continue;
        p.setPen(static_cast<int>(i) == active() ? t.text : t.text2);
        const double line = textHeight(caption);
        const QRectF name(0, row.center().y() - line / 2, names, line);
        if (name.bottom() > height()) continue;
        drawElided(p, name, Qt::AlignRight | Qt::AlignVCenter,
                   QString::fromStdString(tensor.name), caption, Qt::ElideLeft);
    }
}

}  // namespace tenpak::ui

// SPDX-License-Identifier: GPL-3.0-or-later
#include "ui/delta/funnel.h"

#include <QPainter>

#include "ui/theme/paint.h"
#include "ui/theme/theme.h"

namespace tenpak::ui {

Funnel::Funnel(QWidget* parent) : QWidget(parent) {
    setObjectName(QStringLiteral("funnel"));
    setFixedSize(168, 84);
    setAccessibleName(tr("How the estimate converged"));
    connect(&Theme::instance(), &Theme::changed, this, qOverload<>(&QWidget::update));
}

void Funnel::setPoints(const QList<app::FunnelPoint>& points) {
    m_points = points;
    update();
}

void Funnel::paintEvent(QPaintEvent*) {
    QPainter p(this);
    p.setRenderHint(QPainter::Antialiasing);
    const Tokens& t = theme();
    const QFont caption = typeFont(Type::kCaption);
    const QRectF area(2, 4, width() - 10, height() - 26);
    const QRectF labels(0, height() - 16, width() - 4, 16);
    p.setPen(t.text2);
    drawText(p, labels, Qt::AlignLeft | Qt::AlignVCenter, tr("bytes read"), caption);
    drawText(p, labels, Qt::AlignRight | Qt::AlignVCenter, QStringLiteral("100\u202F%"), caption);
    p.setPen(QPen(t.border, 1));
    p.drawLine(QPointF(area.left(), area.bottom() + 3.5), QPointF(area.right(), area.bottom() + 3.5));
    if (m_points.isEmpty()) return;

    // The first guesses and their ranges may leave the picture: one of them would flatten all the rest.
    double low = m_points.last().low, high = m_points.last().high;
    for (const auto& f : m_points) {
        if (f.readFraction < m_points.last().readFraction / 10) continue;
        low = std::min(low, f.estimated);
        high = std::max(high, f.estimated);
    }
    const double margin = std::max((high - low) * .35, high * 1e-4);
    low -= margin;
    high += margin;
    const auto at = [&](double read, double bytes) {
        return QPointF(area.left() + std::clamp(read, 0.0, 1.0) * area.width(), area.bottom() - std::clamp((bytes - low) / (high - low), 0.0, 1.0) * area.height());
    };
    QPolygonF band, line;
    for (const auto& f : m_points) {
        band << at(f.readFraction, f.high);
        line << at(f.readFraction, f.estimated);
    }
    for (auto f = m_points.crbegin(); f != m_points.crend(); ++f) band << at(f->readFraction, f->low);
    p.setPen(Qt::NoPen);
    p.setBrush(mix(t.surface, t.accent, .28));
    p.drawPolygon(band);
    p.setPen(QPen(t.accent, 1.75));
    p.setBrush(Qt::NoBrush);
    p.drawPolyline(line);
    p.setBrush(t.accent);
    p.setPen(QPen(t.surface, 1.5));
    p.drawEllipse(line.last(), 3.5, 3.5);
}

}  // namespace tenpak::ui

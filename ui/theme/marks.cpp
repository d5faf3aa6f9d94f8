// SPDX-License-Identifier: GPL-3.0-or-later
#include "ui/theme/marks.h"

#include <QPainter>

#include "ui/theme/paint.h"
#include "ui/theme/theme.h"

namespace tenpak::ui {
namespace {
void cross(QPainter& p, double r) {
    p.drawLine(QPointF(-r, -r), QPointF(r, r));
    p.drawLine(QPointF(-r, r), QPointF(r, -r));
}
}  // namespace

QColor costColor(double share) {
    const Tokens& t = theme();
    if (!std::isfinite(share)) return t.text2;
    const auto steps = static_cast<int>(t.cost.size());
    return t.cost[static_cast<std::size_t>(std::clamp(static_cast<int>(share * steps), 0, steps - 1))];
}

void paintMark(QPainter& p, const QPointF& at, const MarkStyle& s) {
    using app::Mark;
    const Tokens& t = theme();
    const double grow = s.large ? 1.5 : 0;
    p.save();
    p.setRenderHint(QPainter::Antialiasing);
    p.translate(at);
    // A thin edge in the ground's colour keeps marks apart where they meet.
    p.setPen(s.projected ? QPen(s.color, 1.75, Qt::DashLine) : QPen(t.surface, 1.25));
    p.setBrush(s.projected ? t.surface : s.color);
    switch (s.mark) {
        case Mark::kNone: break;
        case Mark::kWinner:
            p.setPen(QPen(t.text, 1.25));
            p.setBrush(s.color);
            p.drawPath(starPath(9.5 + grow));
            break;
        case Mark::kFront: p.drawEllipse(QPointF(), 6 + grow, 6 + grow); break;
        case Mark::kDominated:
            p.setOpacity(.62);
            p.drawEllipse(QPointF(), 5 + grow, 5 + grow);
            break;
        case Mark::kFails:
            p.setPen(QPen(t.surface, 5, Qt::SolidLine, Qt::RoundCap));
            cross(p, 4 + grow);
            p.setPen(QPen(s.color, 2.4, s.projected ? Qt::DotLine : Qt::SolidLine, Qt::RoundCap));
            cross(p, 4 + grow);
            break;
        case Mark::kBaseline: {
            const double r = 5.5 + grow;
            p.drawRect(QRectF(-r, -r, 2 * r, 2 * r));
            break;
        }
        case Mark::kQueued:
            p.setPen(QPen(t.disabled, 1.25, Qt::DotLine));
            p.setBrush(Qt::NoBrush);
            p.drawEllipse(QPointF(), 5, 5);
            break;
        case Mark::kRunning:
            p.setBrush(Qt::NoBrush);
            p.setPen(QPen(t.border, 2.5));
            p.drawEllipse(QPointF(), 6, 6);
            p.setPen(QPen(t.accent, 2.5, Qt::SolidLine, Qt::FlatCap));
            p.drawArc(QRectF(-6, -6, 12, 12), 90 * 16, -static_cast<int>(360 * 16 * s.progress));
            break;
        case Mark::kFailed: drawIcon(p, QPointF(-8, -8), QStringLiteral("warn"), 16, t.warn); break;
    }
    p.restore();
}

}  // namespace tenpak::ui

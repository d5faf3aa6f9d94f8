// SPDX-License-Identifier: GPL-3.0-or-later
#include "ui/theme/paint.h"

#include <QFontMetricsF>
#include <QPaintEngine>
#include <QPainter>
#include <QWidget>
#include <numbers>

#include "ui/theme/theme.h"

namespace tenpak::ui {
namespace {
TextProbe* g_probe = nullptr;
bool g_textAsPaths = false;

QRectF aligned(const QRectF& box, int alignment, double width, double height) {
    double x = box.left(), y = box.top();
    if (alignment & Qt::AlignRight) x = box.right() - width;
    if (alignment & Qt::AlignHCenter) x = box.center().x() - width / 2;
    if (alignment & Qt::AlignBottom) y = box.bottom() - height;
    if (alignment & Qt::AlignVCenter) y = box.center().y() - height / 2;
    return {x, y, width, height};
}
}  // namespace

void setTextAsPaths(bool on) { g_textAsPaths = on; }

TextProbe::TextProbe() { g_probe = this; }
TextProbe::~TextProbe() { g_probe = nullptr; }

QColor mix(const QColor& a, const QColor& b, double share) {
    const auto f = [share](double x, double y) { return static_cast<float>(x + (y - x) * share); };
    return QColor::fromRgbF(f(a.redF(), b.redF()), f(a.greenF(), b.greenF()), f(a.blueF(), b.blueF()));
}

QColor ramp(std::span<const QColor> stops, double x) {
    const double at = std::clamp(std::isfinite(x) ? x : 0.0, 0.0, 1.0) * static_cast<double>(stops.size() - 1);
    const auto k = std::min(static_cast<std::size_t>(at), stops.size() - 2);
    return mix(stops[k], stops[k + 1], at - static_cast<double>(k));
}

QColor inkOn(const QColor& ground) {
    const auto linear = [](double c) { return c <= 0.03928 ? c / 12.92 : std::pow((c + 0.055) / 1.055, 2.4); };
    const double y = 0.2126 * linear(ground.redF()) + 0.7152 * linear(ground.greenF()) + 0.0722 * linear(ground.blueF());
    return y > 0.24 ? lightTokens().text : QColor(Qt::white);  // both inks have 3.6:1 or more there; white reads better
}

void drawBox(QPainter& p, const QRectF& r, const QColor& fill, const QColor& line, double radius) {
    p.save();
    p.setRenderHint(QPainter::Antialiasing);
    p.setPen(line.isValid() ? QPen(line, 1) : QPen(Qt::NoPen));
    p.setBrush(fill.isValid() ? QBrush(fill) : QBrush(Qt::NoBrush));
    p.drawRoundedRect(line.isValid() ? r.adjusted(.5, .5, -.5, -.5) : r, radius, radius);
    p.restore();
}

void drawFocusRing(QPainter& p, const QRectF& r, double radius) {
    p.save();
    p.setRenderHint(QPainter::Antialiasing);
    p.setBrush(Qt::NoBrush);
    p.setPen(QPen(theme().accent, 2));
    p.drawRoundedRect(r.adjusted(1, 1, -1, -1), radius, radius);
    p.restore();
}

void drawHatch(QPainter& p, const QRectF& r, const QColor& color, double step, double width) {
    if (r.isEmpty()) return;
    p.save();
    p.setClipRect(r, Qt::IntersectClip);
    p.setPen(QPen(color, width));
    // Lines of constant x + y, anchored to the origin: neighbouring cells make one pattern.
    for (double sum = std::floor((r.left() + r.top()) / step) * step; sum < r.right() + r.bottom(); sum += step)
        p.drawLine(QPointF(sum - r.bottom(), r.bottom()), QPointF(sum - r.top(), r.top()));
    p.restore();
}

void drawIcon(QPainter& p, const QPointF& topLeft, const QString& name, int size, const QColor& color) {
    p.drawPixmap(topLeft, Theme::instance().pixmap(name, size, color, p.device()->devicePixelRatioF()));
}

QPainterPath starPath(double radius) {
    QPainterPath path;
    for (int i = 0; i < 10; ++i) {
        const double a = -std::numbers::pi / 2 + i * std::numbers::pi / 5;
        const double r = i % 2 ? radius * .45 : radius;
        const QPointF at(r * std::cos(a), r * std::sin(a));
        i ? path.lineTo(at) : path.moveTo(at);
    }
    path.closeSubpath();
    return path;
}

bool showsFocus(const QWidget* w) { return w->hasFocus() && w->window()->testAttribute(Qt::WA_KeyboardFocusChange); }

double textWidth(const QFont& f, const QString& text) { return QFontMetricsF(f).horizontalAdvance(text); }
double textHeight(const QFont& f) { return QFontMetricsF(f).height(); }

void drawText(QPainter& p, const QRectF& box, int alignment, const QString& text, const QFont& f) {
    if (text.isEmpty()) return;
    p.setFont(f);
    const QFontMetricsF fm(f);
    const QRectF ink = aligned(box, alignment, fm.horizontalAdvance(text), fm.height());
    const QPointF baseline(ink.left(), ink.top() + fm.ascent());
    if (g_textAsPaths) {
        QPainterPath path;
        path.addText(baseline, f, text);
        p.fillPath(path, p.pen().color());
    } else {
        p.drawText(baseline, text);
    }
    if (g_probe) {
        const QRegion clip = p.paintEngine()->systemClip();
        const QRectF device(0, 0, p.device()->width() * p.device()->devicePixelRatioF(), p.device()->height() * p.device()->devicePixelRatioF());
        g_probe->texts.push_back({text, p.deviceTransform().mapRect(ink), p.deviceTransform().mapRect(box), clip.isEmpty() ? device : QRectF(clip.boundingRect()), false});
    }
}

void drawElided(QPainter& p, const QRectF& box, int alignment, const QString& text, const QFont& f, Qt::TextElideMode mode) {
    const QString shown = QFontMetricsF(f).elidedText(text, mode, box.width());
    drawText(p, box, alignment, shown, f);
    if (g_probe && !g_probe->texts.empty()) g_probe->texts.back().elided = shown != text;
}

}  // namespace tenpak::ui

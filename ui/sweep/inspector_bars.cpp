// SPDX-License-Identifier: GPL-3.0-or-later
#include "ui/sweep/inspector_bars.h"

#include <QPainter>

#include "app/format.h"
#include "ui/theme/paint.h"
#include "ui/theme/theme.h"

namespace tenpak::ui {

ShareBar::ShareBar(const QString& name, const QString& value, double share, QWidget* parent) : QWidget(parent), m_name(name), m_value(value), m_share(share) {
    setFixedHeight(34);
    setMinimumWidth(180);
    setAccessibleName(name + QStringLiteral(": ") + value);
    if (std::isfinite(share)) setAccessibleDescription(tr("%1 of fp16").arg(app::format::percent(share * 100, 0)));
    setToolTip(accessibleDescription());
}

void ShareBar::paintEvent(QPaintEvent*) {
    QPainter p(this);
    const Tokens& t = theme();
    p.setPen(t.text2);
    drawText(p, QRectF(0, 0, width(), 18), Qt::AlignLeft | Qt::AlignVCenter, m_name, typeFont(Type::kCaption));
    p.setPen(t.text);
    drawText(p, QRectF(0, 0, width(), 18), Qt::AlignRight | Qt::AlignVCenter, m_value, typeFont(Type::kBodyStrong));
    drawBox(p, QRectF(0, 22, width(), 6), t.track, {}, 3);
    if (std::isfinite(m_share) && m_share > 0) drawBox(p, QRectF(0, 22, std::max(6.0, width() * std::min(1.0, m_share)), 6), m_share > 1 ? t.warn : mix(t.surface, t.accent, .8), {}, 3);
}

LayerErrorStrip::LayerErrorStrip(std::vector<double> errors, QWidget* parent) : QWidget(parent), m_errors(std::move(errors)) {
    setFixedHeight(64);
    for (double e : m_errors)
        if (std::isfinite(e)) m_largest = std::max(m_largest, e);
    setAccessibleName(tr("Relative output error per layer, largest %1").arg(app::format::percent(m_largest * 100)));
    setToolTip(accessibleName());
}

void LayerErrorStrip::paintEvent(QPaintEvent*) {
    QPainter p(this);
    const Tokens& t = theme();
    const QFont caption = typeFont(Type::kCaption);
    constexpr double kTop = 18, kBase = 46;
    p.setPen(t.text2);
    drawText(p, QRectF(0, 0, width(), 16), Qt::AlignLeft | Qt::AlignVCenter, tr("Output error per layer"), caption);
    drawText(p, QRectF(0, 0, width(), 16), Qt::AlignRight | Qt::AlignVCenter, tr("up to %1").arg(QString(app::format::significant(m_largest * 100, 2) + QStringLiteral("\u202F%"))), caption);
    const double w = width() / static_cast<double>(std::max<std::size_t>(1, m_errors.size())), gap = w > 4 ? 1.5 : .5;
    for (std::size_t i = 0; i < m_errors.size(); ++i) {
        if (!std::isfinite(m_errors[i]) || m_largest <= 0) continue;
        const double h = std::max(1.0, (kBase - kTop) * m_errors[i] / m_largest);
        p.fillRect(QRectF(static_cast<double>(i) * w, kBase - h, std::max(1.0, w - gap), h), mix(t.surface, t.accent, .75));
    }
    p.fillRect(QRectF(0, kBase, width(), 1), t.border);
    p.setPen(t.text2);
    drawText(p, QRectF(0, kBase + 2, width(), 16), Qt::AlignLeft | Qt::AlignVCenter, QStringLiteral("0"), caption);
    if (m_errors.size() > 1) drawText(p, QRectF(0, kBase + 2, width(), 16), Qt::AlignRight | Qt::AlignVCenter, tr("layer %1").arg(m_errors.size() - 1), caption);
}

}  // namespace tenpak::ui

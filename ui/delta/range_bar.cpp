// SPDX-License-Identifier: GPL-3.0-or-later
#include "ui/delta/range_bar.h"

#include <QPainter>

#include "app/format.h"
#include "ui/theme/paint.h"
#include "ui/theme/theme.h"

namespace tenpak::ui {
namespace fmt = app::format;

RangeBar::RangeBar(QWidget* parent) : QWidget(parent) {
    setObjectName(QStringLiteral("rangeBar"));
    setFixedHeight(44);
    setMinimumWidth(320);
    setAccessibleName(tr("Stored size"));
    connect(&Theme::instance(), &Theme::changed, this, qOverload<>(&QWidget::update));
}

void RangeBar::setState(const RangeBarState& state) {
    m_s = state;
    setAccessibleDescription(noteText());
    update();
}

QString RangeBar::noteText() const {
    if (!m_s.known) return {};
    const bool measured = m_s.high <= m_s.low;
    QString note;
    if (!measured) note = tr("95 % range %1").arg(fmt::byteRange(m_s.low, m_s.high));
    else if (m_s.estimateBefore > 0) note = tr("estimate was %1 (%2)").arg(fmt::bytes(m_s.estimateBefore), fmt::signedPercent((m_s.estimated / m_s.estimateBefore - 1) * 100, 1));
    if (m_s.written < 0) return note;
    const QString written = tr("%1 written").arg(fmt::bytes(m_s.written));
    return note.isEmpty() ? written : written + QStringLiteral(", ") + note;
}

void RangeBar::paintEvent(QPaintEvent*) {
    QPainter p(this);
    p.setRenderHint(QPainter::Antialiasing);
    const Tokens& t = theme();
    const QFont caption = typeFont(Type::kCaption);
    const QRectF bar(0, 6, width(), 14);
    const QRectF line(0, 26, width(), 16);
    const QColor fill = t.dark ? mix(t.surface, t.accent, .8) : t.accent, pale = mix(t.surface, t.accent, .35);
    QPainterPath clip;
    clip.addRoundedRect(bar, 4, 4);
    p.fillPath(clip, t.track);
    const auto x = [&](double bytes) { return m_s.raw > 0 ? bar.left() + std::clamp(bytes / m_s.raw, 0.0, 1.0) * bar.width() : bar.left(); };
    const QString rawText = m_s.raw > 0 ? tr("%1 raw").arg(fmt::bytes(m_s.raw)) : QString();
    p.setPen(t.text2);
    drawText(p, line, Qt::AlignLeft | Qt::AlignVCenter, QStringLiteral("0"), caption);
    drawText(p, line, Qt::AlignRight | Qt::AlignVCenter, rawText, caption);
    if (!m_s.known) return;

    const bool measured = m_s.high <= m_s.low;
    const double low = measured ? m_s.estimated : std::max(0.0, m_s.low);
    p.save();
    p.setClipPath(clip);
    p.fillRect(QRectF(QPointF(bar.left(), bar.top()), QPointF(x(low), bar.bottom())), m_s.written >= 0 ? pale : fill);
    if (m_s.written >= 0) p.fillRect(QRectF(QPointF(bar.left(), bar.top()), QPointF(x(m_s.written), bar.bottom())), fill);
    if (!measured) {
        const QRectF range(QPointF(x(low), bar.top()), QPointF(x(m_s.high), bar.bottom()));
        p.fillRect(range, pale);
        drawHatch(p, range, mix(t.surface, t.accent, .75), 6, 1.5);
    }
    p.restore();
    const double tick = x(measured ? m_s.estimateBefore : m_s.estimated);
    if (!measured || m_s.estimateBefore > 0) {
        p.setPen(QPen(t.text, 2));
        p.drawLine(QPointF(tick, bar.top() - 4), QPointF(tick, bar.bottom() + 4));
    }
    const QString note = noteText();
    const double w = textWidth(caption, note), right = width() - textWidth(caption, rawText) - 16;
    p.setPen(t.text2);
    drawText(p, QRectF(std::max(24.0, std::min(tick - w / 2, right - w)), line.top(), w, line.height()), Qt::AlignLeft | Qt::AlignVCenter, note, caption);
}

}  // namespace tenpak::ui

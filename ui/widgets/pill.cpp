// SPDX-License-Identifier: GPL-3.0-or-later
#include "ui/widgets/pill.h"

#include <QPainter>

#include "ui/theme/paint.h"
#include "ui/widgets/basics.h"

namespace tenpak::ui {

Pill::Pill(QWidget* parent) : QWidget(parent) {
    setSizePolicy(QSizePolicy::Fixed, QSizePolicy::Fixed);
    hide();
}

Pill::Pill(app::Tone tone, const QString& icon, const QString& text, QWidget* parent) : QWidget(parent) {
    setSizePolicy(QSizePolicy::Fixed, QSizePolicy::Fixed);
    m_tone = tone;
    m_icon = icon;
    m_text = text;
    setAccessibleName(text);
}

void Pill::set(app::Tone tone, const QString& icon, const QString& text) {
    if (tone == m_tone && icon == m_icon && text == m_text) return;
    if (text != m_text) updateGeometry();
    m_tone = tone;
    m_icon = icon;
    m_text = text;
    setAccessibleName(text);
    setVisible(!text.isEmpty());
    update();
}

double Pill::widthOf(const QString& text) { return std::ceil(textWidth(typeFont(Type::kCaption), text)) + 36; }

QSize Pill::sizeHint() const { return {static_cast<int>(widthOf(m_text)), size::kPill}; }

void Pill::paint(QPainter& p, const QRectF& r, app::Tone tone, const QString& icon, const QString& text) {
    const QColor ink = inkColor(inkOf(tone));
    drawBox(p, r, tintOf(tone), {}, r.height() / 2);
    drawIcon(p, QPointF(r.left() + 8, r.center().y() - 7), icon, 14, ink);
    p.setPen(ink);
    drawElided(p, r.adjusted(26, 0, -10, 0), Qt::AlignVCenter | Qt::AlignLeft, text, typeFont(Type::kCaption), Qt::ElideRight);
}

void Pill::paintEvent(QPaintEvent*) {
    QPainter p(this);
    paint(p, QRectF(rect()), m_tone, m_icon, m_text);
}

}  // namespace tenpak::ui

// SPDX-License-Identifier: GPL-3.0-or-later
#include "ui/start/recent_row.h"

#include <QKeyEvent>
#include <QKeySequence>
#include <QPainter>

#include "ui/theme/paint.h"
#include "ui/theme/theme.h"

namespace tenpak::ui {

RecentRow::RecentRow(const app::RecentProject& project, int index, QWidget* parent) : QAbstractButton(parent), m_project(project) {
    if (index < 9) m_key = QKeySequence(QStringLiteral("Ctrl+Shift+%1").arg(index + 1)).toString(QKeySequence::NativeText);
    setObjectName(QStringLiteral("recent.%1").arg(index));
    setText(project.name);
    setAccessibleName(tr("Open project %1").arg(project.name));
    setAccessibleDescription(project.pair + QStringLiteral(". ") + project.result);
    setToolTip(project.path);
    setFocusPolicy(Qt::StrongFocus);
    setCursor(Qt::PointingHandCursor);
    setSizePolicy(QSizePolicy::Expanding, QSizePolicy::Fixed);
    setAttribute(Qt::WA_Hover);
    connect(&Theme::instance(), &Theme::changed, this, qOverload<>(&QWidget::update));
}

void RecentRow::keyPressEvent(QKeyEvent* event) {
    if (event->key() == Qt::Key_Return || event->key() == Qt::Key_Enter) click();
    else QAbstractButton::keyPressEvent(event);
}

void RecentRow::paintEvent(QPaintEvent*) {
    QPainter p(this);
    const Tokens& t = theme();
    if (underMouse() || isDown()) p.fillRect(rect(), mix(t.surface, t.sunken, .7));
    const QFont body = typeFont(Type::kBody), caption = typeFont(Type::kCaption);
    const QRectF all = QRectF(rect()).adjusted(space::kL, 0, -space::kL, 0);
    // From the right: key, when, result; name and pair share what is left.
    const double key = textWidth(caption, QStringLiteral("Ctrl+Shift+9")) + 8, when = 92, gap = space::kL;
    const double result = std::min(all.width() * .26, 260.0), name = std::min(all.width() * .16, 150.0);
    double right = all.right();
    const int leftAlign = Qt::AlignLeft | Qt::AlignVCenter, rightAlign = Qt::AlignRight | Qt::AlignVCenter;
    p.setPen(t.text2);
    drawText(p, QRectF(right - key, all.top(), key, all.height()), rightAlign, m_key, caption);
    right -= key + gap;
    drawElided(p, QRectF(right - when, all.top(), when, all.height()), leftAlign, m_project.when, caption, Qt::ElideRight);
    right -= when + gap;
    p.setPen(t.text);
    drawElided(p, QRectF(right - result, all.top(), result, all.height()), rightAlign, m_project.result, body, Qt::ElideRight);
    right -= result + gap;
    drawElided(p, QRectF(all.left(), all.top(), name, all.height()), leftAlign, m_project.name, typeFont(Type::kBodyStrong));
    p.setPen(t.text2);
    drawElided(p, QRectF(all.left() + name + gap, all.top(), right - all.left() - name - gap, all.height()), leftAlign, m_project.pair, body);
    if (showsFocus(this)) drawFocusRing(p, rect(), 4);
}

}  // namespace tenpak::ui

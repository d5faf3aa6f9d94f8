// SPDX-License-Identifier: GPL-3.0-or-later
#include "ui/widgets/drop_zone.h"

#include <QDragEnterEvent>
#include <QKeyEvent>
#include <QMimeData>
#include <QPainter>
#include <QUrl>

#include "ui/theme/paint.h"
#include "ui/theme/theme.h"

namespace tenpak::ui {

QStringList pathsOf(const QMimeData* data) {
    QStringList paths;
    for (const QUrl& url : data->urls())
        if (url.isLocalFile()) paths.append(url.toLocalFile());
    return paths;
}

DropZone::DropZone(app::PairSlot slot, const QString& title, const QString& hint, bool small, QWidget* parent)
    : QAbstractButton(parent), m_slot(slot), m_hint(hint), m_small(small) {
    setObjectName(slot == app::PairSlot::kBase ? QStringLiteral("dropBase") : QStringLiteral("dropFineTune"));
    setText(title);
    setAccessibleName(tr("Choose %1").arg(title));
    setAccessibleDescription(hint);
    setAcceptDrops(true);
    setFocusPolicy(Qt::StrongFocus);
    setCursor(Qt::PointingHandCursor);
    setSizePolicy(QSizePolicy::Expanding, QSizePolicy::Fixed);
    connect(this, &QAbstractButton::clicked, this, [this] { emit chooseRequested(m_slot); });
    connect(&Theme::instance(), &Theme::changed, this, qOverload<>(&QWidget::update));
}

QSize DropZone::sizeHint() const { return {340, m_small ? 112 : 150}; }
QSize DropZone::minimumSizeHint() const {
    const double w = std::max(textWidth(typeFont(Type::kTitle), text()), textWidth(typeFont(Type::kBody), m_hint));
    return {static_cast<int>(w) + 24, sizeHint().height()};
}

void DropZone::paintEvent(QPaintEvent*) {
    QPainter p(this);
    p.setRenderHint(QPainter::Antialiasing);
    const Tokens& t = theme();
    QPen pen(m_lit ? t.accent : t.borderStrong, m_lit ? 2 : 1.25);
    pen.setDashPattern({5, 4});
    p.setPen(pen);
    p.setBrush(m_lit ? t.accentTint : underMouse() ? mix(t.surface, t.accentTint, .35) : t.surface);
    p.drawRoundedRect(QRectF(rect()).adjusted(1, 1, -1, -1), 10, 10);
    const double icon = 28, title = textHeight(typeFont(Type::kTitle)), hint = textHeight(typeFont(Type::kBody));
    double y = (height() - icon - 8 - title - 4 - hint) / 2;
    drawIcon(p, QPointF(width() / 2.0 - icon / 2, y), QStringLiteral("drop"), static_cast<int>(icon), t.accent);
    y += icon + 8;
    p.setPen(t.text);
    drawText(p, QRectF(8, y, width() - 16, title), Qt::AlignCenter, text(), typeFont(Type::kTitle));
    y += title + 4;
    p.setPen(t.text2);
    drawText(p, QRectF(8, y, width() - 16, hint), Qt::AlignCenter, m_hint, typeFont(Type::kBody));
    if (showsFocus(this)) drawFocusRing(p, rect(), 10);
}

void DropZone::dragEnterEvent(QDragEnterEvent* event) {
    if (pathsOf(event->mimeData()).isEmpty()) return;
    event->acceptProposedAction();
    m_lit = true;
    update();
}

void DropZone::dragLeaveEvent(QDragLeaveEvent*) {
    m_lit = false;
    update();
}

void DropZone::dropEvent(QDropEvent* event) {
    m_lit = false;
    update();
    const QStringList paths = pathsOf(event->mimeData());
    event->acceptProposedAction();
    // Two at once: the model card tells which is which, not the zone that was hit.
    emit filesDropped(paths, paths.size() > 1 ? app::PairSlot::kEither : m_slot);
}

void DropZone::keyPressEvent(QKeyEvent* event) {
    if (event->key() == Qt::Key_Return || event->key() == Qt::Key_Enter) click();
    else QAbstractButton::keyPressEvent(event);
}

}  // namespace tenpak::ui

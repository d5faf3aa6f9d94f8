// SPDX-License-Identifier: GPL-3.0-or-later
#include "ui/shell/drop_overlay.h"

#include <QDragEnterEvent>
#include <QMimeData>
#include <QPainter>

#include "ui/shell/pair_bar.h"
#include "ui/theme/paint.h"
#include "ui/widgets/drop_zone.h"

namespace tenpak::ui {

DropOverlay::DropOverlay(PairSlotCard* base, PairSlotCard* fineTune, QWidget* parent) : QWidget(parent), m_base(base), m_fineTune(fineTune) {
    setObjectName(QStringLiteral("dropOverlay"));
    setAcceptDrops(true);
    hide();
}

void DropOverlay::showOver(const QRect& area) {
    setGeometry(area);
    show();
    raise();
}

void DropOverlay::aim(const QPoint& at) {
    m_overSlot = false;
    m_slot = at.x() < width() / 2 ? app::PairSlot::kBase : app::PairSlot::kFineTune;
    for (PairSlotCard* slot : {m_base, m_fineTune}) {
        const bool over = slot->isVisible() && slot->rect().contains(slot->mapFrom(window(), mapTo(window(), at)));
        slot->setLit(over);
        if (!over) continue;
        m_overSlot = true;
        m_slot = slot->slot();
    }
    update();
}

void DropOverlay::finish() {
    m_base->setLit(false);
    m_fineTune->setLit(false);
    hide();
}

void DropOverlay::dragEnterEvent(QDragEnterEvent* event) {
    if (pathsOf(event->mimeData()).isEmpty()) return;
    event->acceptProposedAction();
    aim(event->position().toPoint());
}

void DropOverlay::dragMoveEvent(QDragMoveEvent* event) {
    event->acceptProposedAction();
    aim(event->position().toPoint());
}

void DropOverlay::dragLeaveEvent(QDragLeaveEvent*) { finish(); }

void DropOverlay::dropEvent(QDropEvent* event) {
    aim(event->position().toPoint());
    const QStringList paths = pathsOf(event->mimeData());
    const app::PairSlot slot = paths.size() > 1 ? app::PairSlot::kEither : m_slot;
    event->acceptProposedAction();
    finish();
    emit filesDropped(paths, slot);
}

void DropOverlay::paintEvent(QPaintEvent*) {
    if (m_overSlot) return;
    QPainter p(this);
    p.setRenderHint(QPainter::Antialiasing);
    const Tokens& t = theme();
    QColor veil = t.window;
    veil.setAlphaF(.88f);
    p.fillRect(rect(), veil);
    const double half = width() / 2.0;
    const auto paintHalf = [&](const QRectF& r, const QString& text, bool lit) {
        QPen pen(lit ? t.accent : t.borderStrong, 2);
        pen.setDashPattern({5, 4});
        p.setPen(pen);
        p.setBrush(lit ? t.accentTint : t.surface);
        p.drawRoundedRect(r, 12, 12);
        drawIcon(p, QPointF(r.center().x() - 16, r.center().y() - 44), QStringLiteral("drop"), 32, t.accent);
        p.setPen(t.text);
        drawText(p, QRectF(r.left(), r.center().y(), r.width(), 32), Qt::AlignCenter, text, typeFont(Type::kHeadline));
    };
    const double top = size::kPairBar + 8;
    paintHalf(QRectF(16, top, half - 24, height() - top - 16), tr("Drop as base"), m_slot == app::PairSlot::kBase);
    paintHalf(QRectF(half + 8, top, half - 24, height() - top - 16), tr("Drop as fine-tune"), m_slot == app::PairSlot::kFineTune);
}

}  // namespace tenpak::ui

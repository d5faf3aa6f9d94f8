// SPDX-License-Identifier: GPL-3.0-or-later
// Covers the window while something is dragged: "Drop as base" | "Drop as fine-tune"; over a slot of the pair bar only
// that slot lights up.
#pragma once
#include <QWidget>

#include "app/view_states.h"

namespace tenpak::ui {

class PairSlotCard;

class DropOverlay : public QWidget {
    Q_OBJECT
   public:
    DropOverlay(PairSlotCard* base, PairSlotCard* fineTune, QWidget* parent);
    void showOver(const QRect& area);

   signals:
    void filesDropped(const QStringList& paths, tenpak::app::PairSlot slot);

   protected:
    void paintEvent(QPaintEvent* event) override;
    void dragEnterEvent(QDragEnterEvent* event) override;
    void dragMoveEvent(QDragMoveEvent* event) override;
    void dragLeaveEvent(QDragLeaveEvent* event) override;
    void dropEvent(QDropEvent* event) override;

   private:
    void aim(const QPoint& at);
    void finish();
    PairSlotCard *m_base, *m_fineTune;
    app::PairSlot m_slot = app::PairSlot::kBase;
    bool m_overSlot = false;
};

}  // namespace tenpak::ui

// SPDX-License-Identifier: GPL-3.0-or-later
// A dashed place that takes files and folders; Enter or a click opens the chooser.
#pragma once
#include <QAbstractButton>

#include "app/view_states.h"

class QMimeData;

namespace tenpak::ui {

/// Local paths of a drop; empty when there is none.
QStringList pathsOf(const QMimeData* data);

class DropZone : public QAbstractButton {
    Q_OBJECT
   public:
    DropZone(app::PairSlot slot, const QString& title, const QString& hint, bool small = false, QWidget* parent = nullptr);
    QSize sizeHint() const override;
    QSize minimumSizeHint() const override;

   signals:
    void filesDropped(const QStringList& paths, tenpak::app::PairSlot slot);
    void chooseRequested(tenpak::app::PairSlot slot);

   protected:
    void paintEvent(QPaintEvent* event) override;
    void dragEnterEvent(QDragEnterEvent* event) override;
    void dragLeaveEvent(QDragLeaveEvent* event) override;
    void dropEvent(QDropEvent* event) override;
    void keyPressEvent(QKeyEvent* event) override;

   private:
    app::PairSlot m_slot;
    QString m_hint;
    bool m_small, m_lit = false;
};

}  // namespace tenpak::ui

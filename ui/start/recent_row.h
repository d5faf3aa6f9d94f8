// SPDX-License-Identifier: GPL-3.0-or-later
// One recent project: name, pair, last result, when, key.
#pragma once
#include <QAbstractButton>

#include "app/view_states.h"

namespace tenpak::ui {

class RecentRow : public QAbstractButton {
    Q_OBJECT
   public:
    RecentRow(const app::RecentProject& project, int index, QWidget* parent = nullptr);
    QSize sizeHint() const override { return {600, 48}; }

   protected:
    void paintEvent(QPaintEvent* event) override;
    void keyPressEvent(QKeyEvent* event) override;

   private:
    app::RecentProject m_project;
    QString m_key;
};

}  // namespace tenpak::ui

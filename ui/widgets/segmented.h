// SPDX-License-Identifier: GPL-3.0-or-later
// One of a few, side by side. Arrow keys move within, Tab leaves.
#pragma once
#include <QWidget>

class QButtonGroup;

namespace tenpak::ui {

class Segmented : public QWidget {
    Q_OBJECT
   public:
    Segmented(const QString& objectName, const QString& accessibleName, const QStringList& choices, QWidget* parent = nullptr);
    int current() const;
    void setCurrent(int index);

   signals:
    void currentChanged(int index);

   protected:
    void paintEvent(QPaintEvent* event) override;

   private:
    QButtonGroup* m_group;
};

}  // namespace tenpak::ui

// SPDX-License-Identifier: GPL-3.0-or-later
// How the estimate converged: best guess with its range over the bytes read.
#pragma once
#include <QWidget>

#include "app/view_states.h"

namespace tenpak::ui {

class Funnel : public QWidget {
    Q_OBJECT
   public:
    explicit Funnel(QWidget* parent = nullptr);
    void setPoints(const QList<app::FunnelPoint>& points);

   protected:
    void paintEvent(QPaintEvent* event) override;

   private:
    QList<app::FunnelPoint> m_points;
};

}  // namespace tenpak::ui

// SPDX-License-Identifier: GPL-3.0-or-later
// Stored bytes by method: one bar, and for each method its sign, the number of tensors, raw and stored bytes. It is the
// legend of the map's method colours.
#pragma once
#include <QWidget>
#include <vector>

#include "core/delta/estimate.h"

namespace tenpak::ui {

class MethodBars : public QWidget {
    Q_OBJECT
   public:
    explicit MethodBars(QWidget* parent = nullptr);
    void setEstimate(const delta::EstimateSnapshot* estimate);
    QSize sizeHint() const override;

   protected:
    void paintEvent(QPaintEvent* event) override;

   private:
    struct Row {
        std::string method;
        int tensors = 0;
        double raw = 0, stored = 0;
        bool complete = true;
    };
    std::vector<Row> m_rows;
};

}  // namespace tenpak::ui

// SPDX-License-Identifier: GPL-3.0-or-later
// The stored size on a bar from nothing to the raw size. Estimated: solid up to the low end of the range, hatched to the
// high end, a tick at the best guess. Measured: solid, the tick says where the estimate had been.
#pragma once
#include <QWidget>

namespace tenpak::ui {

struct RangeBarState {
    double raw = 0;
    double estimated = 0, low = 0, high = 0;  ///< low == high: measured
    double estimateBefore = 0;                ///< 0: none
    double written = -1;                      ///< while compressing; negative: not
    bool known = false;                       ///< false: an empty bar
};

class RangeBar : public QWidget {
    Q_OBJECT
   public:
    explicit RangeBar(QWidget* parent = nullptr);
    void setState(const RangeBarState& state);

   protected:
    void paintEvent(QPaintEvent* event) override;

   private:
    QString noteText() const;
    RangeBarState m_s;
};

}  // namespace tenpak::ui

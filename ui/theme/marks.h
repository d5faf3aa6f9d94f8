// SPDX-License-Identifier: GPL-3.0-or-later
// The signs of candidates: the same in chart, table and legend.
#pragma once
#include <QColor>
#include <QPointF>

#include "app/item_roles.h"

class QPainter;

namespace tenpak::ui {

struct MarkStyle {
    app::Mark mark = app::Mark::kNone;
    QColor color;
    bool projected = false;  ///< dashed outline
    double progress = 0;     ///< of kRunning
    bool large = false;      ///< hovered
};

/// Cost colour for a share 0..1 (cheap to dear); text2 where cost is not known.
QColor costColor(double share);
/// Centred on `at`; about 12 px wide, the winner 19.
void paintMark(QPainter& p, const QPointF& at, const MarkStyle& style);

}  // namespace tenpak::ui

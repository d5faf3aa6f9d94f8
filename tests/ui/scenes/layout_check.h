// SPDX-License-Identifier: GPL-3.0-or-later
// Structural checks of a shown window: nothing is elided, overlaps or leaves its widget; what takes focus has a name.
#pragma once
#include <QStringList>
#include <QWidget>

#include "ui/theme/paint.h"

namespace tenpak::layout_check {

struct Options {
    bool floating = false;    ///< something deliberately covers text (hover card, drop overlay): no overlap check of painted text
    bool elisionOk = false;   ///< a scene about long names
};
/// One line a problem; empty when all is well. `painted` is what a TextProbe saw while the window was grabbed.
QStringList problems(QWidget* window, const std::vector<ui::PaintedText>& painted, const Options& options);

}  // namespace tenpak::layout_check

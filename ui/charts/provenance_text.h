// SPDX-License-Identifier: GPL-3.0-or-later
// Where a trial's figures come from, in words: every view that shows them says it.
#pragma once
#include <QString>

#include "core/optimizer/trial.h"

namespace tenpak::ui {

/// "Measured here, today, 14:02, on CPU, 2 cores", "Recorded on CPU, 2 cores, 22 Nov 2026", "Projected to H100".
QString provenanceText(const optimizer::Trial& trial);

}  // namespace tenpak::ui

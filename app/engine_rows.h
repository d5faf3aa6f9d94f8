// SPDX-License-Identifier: GPL-3.0-or-later
// What is known of serving engines, as views show it.
#pragma once
#include "app/candidate_layouts.h"
#include "app/view_states.h"

namespace tenpak::app {

inline EngineVerdicts engineVerdicts(const CandidateLayout& layout) {
    EngineVerdicts v;
    v.layout = QString::fromStdString(layout.name);
    for (const LayoutVerdict& e : layout.verdicts) {
        const auto loads = !e.loads ? EngineRow::Loads::kNo : e.condition.empty() ? EngineRow::Loads::kYes : EngineRow::Loads::kIf;
        v.rows.append({QString::fromStdString(e.engine), loads, QString::fromStdString(e.kernel), QString::fromStdString(e.loads ? e.condition : e.why)});
    }
    return v;
}

}  // namespace tenpak::app

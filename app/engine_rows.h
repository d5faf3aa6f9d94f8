// SPDX-License-Identifier: GPL-3.0-or-later
// What is known of serving engines, as views show it.
#pragma once
#include "app/candidate_layouts.h"
#include "app/view_states.h"

namespace tenpak::app {

inline EngineVerdicts engineVerdicts(const CandidateLayout& layout) {
    EngineVerdicts v;
    v.layout = QString::fromStdString(layout.name);
    for (const quant::EngineVerdict& e : layout.verdicts) {
        const auto loads = e.loads == quant::Loads::kYes ? EngineRow::Loads::kYes : e.loads == quant::Loads::kNo ? EngineRow::Loads::kNo : EngineRow::Loads::kIf;
        v.rows.append({QString::fromLatin1(quant::engine_name(e.engine)), loads, QString::fromStdString(e.kernel), QString::fromStdString(e.why)});
    }
    return v;
}

}  // namespace tenpak::app

// SPDX-License-Identifier: GPL-3.0-or-later
// What the scatter draws: one point a measured trial, as judged.
#pragma once
#include <QString>
#include <memory>
#include <vector>

#include "app/candidate_model.h"

namespace tenpak::ui {

struct PlotPoint {
    std::size_t trial = 0;          ///< index into the trials
    QString id, label;
    double x = 0, y = 0;            ///< latency p99 in ms; perplexity increase in percent
    double low = 0, high = 0;       ///< confidence interval of y; NaN where there is none
    double costShare = 0;           ///< 0..1 over the costs shown; NaN where not known
    app::Mark mark = app::Mark::kNone;
    bool onFront = false, projected = false;
};

struct PlotData {
    std::shared_ptr<const std::vector<optimizer::Trial>> trials;
    std::shared_ptr<const optimizer::Judgement> judgement;
    std::vector<PlotPoint> points;
    double costLow = 0, costHigh = 0;  ///< NaN where no cost is known
    int notShown = 0;                  ///< trials that ended without both figures
    QString firstNotShown;             ///< id of one of them

    const PlotPoint* find(const QString& id) const;
};

/// Points whose figures are not finite (or whose latency is not positive) are counted and left out. `before` lends its
/// texts where it was made of the same trials: re-judging 10,000 of them builds no strings.
PlotData makePlotData(std::shared_ptr<const std::vector<optimizer::Trial>> trials, std::shared_ptr<const optimizer::Judgement> judgement, const PlotData& before);

}  // namespace tenpak::ui

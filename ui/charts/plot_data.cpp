// SPDX-License-Identifier: GPL-3.0-or-later
#include "ui/charts/plot_data.h"

#include <algorithm>
#include <cmath>

namespace tenpak::ui {

const PlotPoint* PlotData::find(const QString& id) const {
    const auto it = std::find_if(points.begin(), points.end(), [&id](const PlotPoint& p) { return p.id == id; });
    return it == points.end() ? nullptr : &*it;
}

PlotData makePlotData(std::shared_ptr<const std::vector<optimizer::Trial>> trials, std::shared_ptr<const optimizer::Judgement> judgement, const PlotData& before) {
    PlotData data;
    data.costLow = data.costHigh = optimizer::kUnknown;
    if (!trials || !judgement || judgement->trials.size() != trials->size()) return data;
    const bool same = trials == before.trials;
    std::size_t hint = 0;
    for (std::size_t i = 0; i < trials->size(); ++i) {
        const optimizer::Trial& t = (*trials)[i];
        const optimizer::Judged& j = judgement->trials[i];
        const bool drawable = t.status == optimizer::TrialStatus::kDone && std::isfinite(j.p99_ms) && j.p99_ms > 0 && std::isfinite(t.metrics.ppl_delta);
        if (!drawable) {
            if (t.status == optimizer::TrialStatus::kDone || t.status == optimizer::TrialStatus::kFailed) {
                if (data.notShown++ == 0) data.firstNotShown = QString::fromStdString(t.id);
            }
            continue;
        }
        PlotPoint p;
        p.trial = i;
        while (same && hint < before.points.size() && before.points[hint].trial < i) ++hint;
        if (same && hint < before.points.size() && before.points[hint].trial == i) {
            p.id = before.points[hint].id;
            p.label = before.points[hint].label;
        } else {
            p.id = QString::fromStdString(t.id);
            p.label = QString::fromStdString(t.candidate);
        }
        p.x = j.p99_ms;
        p.y = t.metrics.ppl_delta;
        p.low = t.metrics.ppl_delta_low;
        p.high = t.metrics.ppl_delta_high;
        p.mark = app::markOf(t, j);
        p.onFront = j.on_front;
        p.projected = t.provenance == optimizer::Provenance::kProjected;
        p.costShare = j.cost_per_1m_tokens;  // made a share below, once the ends are known
        if (std::isfinite(p.costShare)) {
            data.costLow = std::isfinite(data.costLow) ? std::min(data.costLow, p.costShare) : p.costShare;
            data.costHigh = std::isfinite(data.costHigh) ? std::max(data.costHigh, p.costShare) : p.costShare;
        }
        data.points.push_back(std::move(p));
    }
    const double span = data.costHigh - data.costLow;
    for (PlotPoint& p : data.points)
        if (std::isfinite(p.costShare)) p.costShare = span > 0 ? (p.costShare - data.costLow) / span : 0;
    data.trials = std::move(trials);
    data.judgement = std::move(judgement);
    return data;
}

}  // namespace tenpak::ui

// SPDX-License-Identifier: GPL-3.0-or-later
#include "ui/charts/plot_scale.h"

#include <algorithm>

namespace tenpak::ui {
namespace {

/// Three quarters of the values are no greater. `values` is reordered.
double thirdQuartile(std::vector<double>& values) {
    const auto at = values.begin() + static_cast<std::ptrdiff_t>(values.size() * 3 / 4);
    std::nth_element(values.begin(), at, values.end());
    return *at;
}

}  // namespace

PlotScale scaleFor(const PlotData& data, const optimizer::Limits& limits) {
    PlotScale s;
    double left = 0, right = 0, low = 0, high = 0;
    bool any = false;
    std::vector<double> xs, ys;
    xs.reserve(data.points.size());
    ys.reserve(data.points.size());
    for (const PlotPoint& p : data.points) {
        left = any ? std::min(left, p.x) : p.x;
        right = any ? std::max(right, p.x) : p.x;
        low = std::min({low, p.y, std::isfinite(p.low) ? p.low : p.y});
        high = std::max({high, p.y, std::isfinite(p.high) ? p.high : p.y});
        any = true;
        xs.push_back(p.x);
        ys.push_back(p.y);
    }
    const double xLimit = limits.max_latency_p99_ms.value_or(0), yLimit = limits.max_ppl_delta.value_or(0);
    s.known = any || xLimit > 0 || yLimit > 0;
    if (!any) {
        right = xLimit > 0 ? xLimit : 100;
        left = right / 4;
    }
    if (xLimit > 0) {
        left = std::min(left, xLimit);
        right = std::max(right, xLimit);
    }
    if (yLimit > 0) high = std::max(high, yLimit);
    if (!any && yLimit > 0) high = 1.5 * yLimit;
    if (high <= low) high = low + 1;
    const double margin = std::pow(right / left, .08);
    s.x0 = left / std::max(1.04, margin);
    s.x1 = right * std::max(1.06, margin);
    if (ys.size() > 3) {  // outliers beyond the limit and the bulk are pinned
        const double yBulk = 1.2 * thirdQuartile(ys), xBulk = 1.5 * thirdQuartile(xs);
        high = std::min(high, std::max(1.6 * yLimit, yBulk));
        s.x1 = std::min(s.x1, std::max(2.5 * xLimit, xBulk));
        if (high <= low) high = low + 1;
    }
    const double m = (high - low) * .08;
    s.y0 = low - m;
    s.y1 = high + m;
    return s;
}

PlotScale united(const PlotScale& a, const PlotScale& b) {
    if (!a.known) return b;
    if (!b.known) return a;
    return {std::min(a.x0, b.x0), std::max(a.x1, b.x1), std::min(a.y0, b.y0), std::max(a.y1, b.y1), true};
}

}  // namespace tenpak::ui

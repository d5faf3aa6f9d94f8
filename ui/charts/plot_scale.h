// SPDX-License-Identifier: GPL-3.0-or-later
// The scatter's axes: latency on a logarithm, perplexity increase linear. They start from the limits and only grow
// during a run; a point far beyond the limit or the bulk is pinned to the edge and does not squeeze the rest.
#pragma once
#include <QPointF>
#include <QRectF>
#include <cmath>

#include "ui/charts/plot_data.h"

namespace tenpak::ui {

struct PlotScale {
    double x0 = 1, x1 = 10, y0 = 0, y1 = 1;
    bool known = false;  ///< false: neither points nor limits, no tick has a meaning

    bool operator==(const PlotScale&) const = default;
    QPointF map(const QRectF& plot, double x, double y) const {
        const double fx = (std::log10(x) - std::log10(x0)) / (std::log10(x1) - std::log10(x0));
        return {plot.left() + fx * plot.width(), plot.bottom() - (y - y0) / (y1 - y0) * plot.height()};
    }
    double unmapX(const QRectF& plot, double px) const { return std::pow(10.0, std::log10(x0) + (px - plot.left()) / plot.width() * (std::log10(x1) - std::log10(x0))); }
    double unmapY(const QRectF& plot, double py) const { return y0 + (plot.bottom() - py) / plot.height() * (y1 - y0); }
};

PlotScale scaleFor(const PlotData& data, const optimizer::Limits& limits);
/// The smallest scale that holds both.
PlotScale united(const PlotScale& a, const PlotScale& b);

}  // namespace tenpak::ui

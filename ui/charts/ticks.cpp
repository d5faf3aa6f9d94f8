// SPDX-License-Identifier: GPL-3.0-or-later
#include "ui/charts/ticks.h"

#include <algorithm>
#include <cmath>

#include "app/format.h"

namespace tenpak::ui {

std::vector<double> linearTicks(double low, double high, int wanted) {
    std::vector<double> out;
    if (!(high > low) || wanted < 1) return out;
    const double raw = (high - low) / wanted, magnitude = std::pow(10.0, std::floor(std::log10(raw)));
    double step = 10 * magnitude;
    for (double m : {1.0, 2.0, 5.0})
        if (m * magnitude >= raw * (1 - 1e-9)) {
            step = m * magnitude;
            break;
        }
    // Counted in whole steps: adding up would drift.
    for (auto k = static_cast<long long>(std::ceil(low / step - 1e-9)); static_cast<double>(k) * step <= high + step * 1e-9; ++k)
        out.push_back(static_cast<double>(k) * step);
    return out;
}

std::vector<double> logTicks(double low, double high, int wanted) {
    if (!(low > 0) || !(high > low)) return {};
    if (high / low <= 1.6) return linearTicks(low, high, wanted);
    static const std::vector<std::vector<double>> kSets = {
        {1}, {1, 3}, {1, 2, 5}, {1, 1.5, 2, 3, 5, 7}, {1, 1.2, 1.5, 2, 2.5, 3, 4, 5, 6, 7, 8, 9}};
    std::vector<double> out;
    for (const auto& set : kSets) {
        std::vector<double> ticks;
        for (int e = static_cast<int>(std::floor(std::log10(low))); e <= static_cast<int>(std::ceil(std::log10(high))); ++e)
            for (double mantissa : set) {
                const double v = mantissa * std::pow(10.0, e);
                if (v >= low * (1 - 1e-9) && v <= high * (1 + 1e-9)) ticks.push_back(v);
            }
        const bool enough = static_cast<int>(ticks.size()) >= std::min(5, wanted);
        // A finer set that would not fit is worse than a coarse one with few labels.
        if (!out.empty() && out.size() >= 2 && static_cast<int>(ticks.size()) > std::max(5, wanted)) return out;
        out = std::move(ticks);
        if (enough) return out;
    }
    return out;
}

std::vector<QString> tickLabels(const std::vector<double>& ticks) {
    int decimals = 0;
    for (double t : ticks)
        for (int d = decimals; d <= 6; ++d) {
            const double scaled = std::abs(t) * std::pow(10.0, d);
            decimals = d;
            if (std::abs(scaled - std::round(scaled)) < 1e-6 * std::max(1.0, scaled)) break;
        }
    std::vector<QString> out;
    out.reserve(ticks.size());
    // Each label drops the zeros it does not need: 0.5 1 2 on a log axis.
    for (double t : ticks) {
        int own = 0;
        for (; own < decimals; ++own) {
            const double scaled = std::abs(t) * std::pow(10.0, own);
            if (std::abs(scaled - std::round(scaled)) < 1e-6 * std::max(1.0, scaled)) break;
        }
        out.push_back(app::format::fixed(t, own));
    }
    return out;
}

}  // namespace tenpak::ui

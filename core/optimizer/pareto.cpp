// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cmath>
#include <numeric>

#include "core/optimizer/judge.h"

namespace tenpak::optimizer {

std::vector<std::size_t> pareto_front(std::span<const double> x, std::span<const double> y) {
    std::vector<std::size_t> order;
    const std::size_t n = std::min(x.size(), y.size());
    order.reserve(n);
    for (std::size_t i = 0; i < n; ++i) {
        if (!std::isnan(x[i]) && !std::isnan(y[i])) order.push_back(i);
    }
    std::sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) {
        if (x[a] != x[b]) return x[a] < x[b];
        if (y[a] != y[b]) return y[a] < y[b];
        return a < b;
    });
    // By ascending x a point is dominated exactly when a point with smaller x has a y that is no larger, or one with the
    // same x a smaller y: within a group of equal x only those with the group's first (smallest) y can stay.
    std::vector<std::size_t> front;
    double best_y = 0;
    bool any = false;
    for (std::size_t i = 0; i < order.size();) {
        const double group_x = x[order[i]], group_y = y[order[i]];
        const bool keep = !any || group_y < best_y;
        for (; i < order.size() && x[order[i]] == group_x; ++i) {
            if (keep && y[order[i]] == group_y) front.push_back(order[i]);
        }
        if (keep) best_y = group_y;
        any = true;
    }
    return front;
}

}  // namespace tenpak::optimizer

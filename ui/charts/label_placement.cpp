// SPDX-License-Identifier: GPL-3.0-or-later
#include "ui/charts/label_placement.h"

#include <algorithm>
#include <array>
#include <numeric>

namespace tenpak::ui {
namespace {

std::array<QRectF, 8> placesOf(const LabelRequest& r) {
    const double x = r.point.x(), y = r.point.y(), w = r.size.width(), h = r.size.height(), g = r.gap;
    return {{{x + g, y - h / 2, w, h},
             {x + g - 3, y - h - 3, w, h},
             {x + g - 3, y + 3, w, h},
             {x - w / 2, y - g - h, w, h},
             {x - w / 2, y + g, w, h},
             {x - g - w, y - h / 2, w, h},
             {x - g - w + 3, y - h - 3, w, h},
             {x - g - w + 3, y + 3, w, h}}};
}

/// Lines here are horizontal or vertical.
bool crosses(const std::vector<QLineF>& lines, const QRectF& r) {
    return std::any_of(lines.begin(), lines.end(), [&r](const QLineF& l) {
        return QRectF(l.p1(), l.p2()).normalized().adjusted(-1, -1, 1, 1).intersects(r);
    });
}

}  // namespace

std::vector<std::optional<QRectF>> placeLabels(const std::vector<LabelRequest>& requests, const LabelSpace& space) {
    std::vector<std::optional<QRectF>> out(requests.size());
    std::vector<std::size_t> order(requests.size());
    std::iota(order.begin(), order.end(), std::size_t{0});
    std::stable_sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) { return requests[a].rank < requests[b].rank; });
    std::vector<QRectF> labels;
    const auto free = [&](const QRectF& place, std::size_t self) {
        const LabelRequest& r = requests[self];
        if (!space.area.contains(place) || crosses(space.crossings, place)) return false;
        if (r.whisker && place.left() < r.point.x() && place.right() > r.point.x()) return false;
        const auto hits = [&place](const QRectF& t) { return t.intersects(place); };
        if (std::any_of(space.taken.begin(), space.taken.end(), hits) || std::any_of(labels.begin(), labels.end(), hits)) return false;
        for (std::size_t i = 0; i < requests.size(); ++i) {
            if (i == self) continue;
            const QPointF& p = requests[i].point;
            if (QRectF(p.x() - 7, p.y() - 7, 14, 14).intersects(place)) return false;
        }
        return true;
    };
    for (std::size_t k : order)
        for (int pass = 0; pass < 2 && !out[k]; ++pass)
            for (const QRectF& place : placesOf(requests[k])) {
                if (pass == 0 && crosses(space.avoid, place)) continue;
                if (!free(place, k)) continue;
                out[k] = place;
                labels.push_back(place);
                break;
            }
    return out;
}

}  // namespace tenpak::ui

// SPDX-License-Identifier: GPL-3.0-or-later
// Where the names of points stand: the important first, eight places each, nothing overlaps. Pure geometry.
#pragma once
#include <QLineF>
#include <QPointF>
#include <QRectF>
#include <QSizeF>
#include <optional>
#include <vector>

namespace tenpak::ui {

struct LabelRequest {
    QPointF point;
    QSizeF size;
    double gap = 9;      ///< from the point's centre
    int rank = 0;        ///< lower is placed first
    bool whisker = false;///< a vertical line through the point
};

struct LabelSpace {
    QRectF area;                   ///< labels stay inside
    std::vector<QRectF> taken;     ///< nothing may touch these
    std::vector<QLineF> crossings; ///< not crossed at any price (limit lines)
    std::vector<QLineF> avoid;     ///< crossed only where there is no other place (front)
};

/// One rectangle a request, or none where nothing fits.
std::vector<std::optional<QRectF>> placeLabels(const std::vector<LabelRequest>& requests, const LabelSpace& space);

}  // namespace tenpak::ui

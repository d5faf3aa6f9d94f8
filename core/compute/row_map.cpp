// SPDX-License-Identifier: Apache-2.0
#include "core/compute/row_map.h"

namespace tenpak::compute {

LinearWeight take_rows(const LinearWeight& weight, const RowMap& rows) {
    LinearWeight out;
    out.format = weight.format;
    out.n = rows.count;
    out.k = weight.k;
    out.group = weight.group;
    out.symmetric = weight.symmetric;
    out.outlier_threshold = weight.outlier_threshold;
    out.group_index = weight.group_index;  // of columns
    const auto take = [&](const auto& from, auto& to) {
        if (from.empty()) return;
        const std::size_t width = from.size() / weight.n;  // values a row: every vector has the same number for each
        to.resize(width * rows.count);
        for (std::uint32_t i = 0; i < rows.count; ++i) {
            const auto at = from.begin() + static_cast<std::ptrdiff_t>(width * rows.row(i));
            std::copy(at, at + static_cast<std::ptrdiff_t>(width), to.begin() + static_cast<std::ptrdiff_t>(width * i));
        }
    };
    take(weight.f32, out.f32);
    take(weight.half, out.half);
    take(weight.codes, out.codes);
    take(weight.scales, out.scales);
    take(weight.zeros, out.zeros);
    take(weight.low, out.low);
    take(weight.mask, out.mask);
    take(weight.multiples, out.multiples);
    take(weight.bias, out.bias);
    // NF4's nested scales are shared across rows: the part keeps the plain scales, which say the same.
    return out;
}

}  // namespace tenpak::compute

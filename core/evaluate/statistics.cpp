// SPDX-License-Identifier: Apache-2.0
#include "core/evaluate/statistics.h"

#include <algorithm>
#include <cmath>

namespace tenpak::evaluate {

MeanError mean_and_error(std::span<const double> values) {
    if (values.empty()) return {};
    const auto n = static_cast<double>(values.size());
    double sum = 0;
    for (const double v : values) sum += v;
    const double mean = sum / n;
    double squares = 0;
    for (const double v : values) squares += (v - mean) * (v - mean);
    return {mean, values.size() < 2 ? 0 : std::sqrt(squares / (n - 1) / n)};
}

double student_t_975(std::size_t degrees_of_freedom) {
    static constexpr double kTable[] = {12.7062, 4.30265, 3.18245, 2.77645, 2.57058, 2.44691, 2.36462, 2.30600, 2.26216, 2.22814};
    if (degrees_of_freedom == 0) return INFINITY;
    if (degrees_of_freedom <= std::size(kTable)) return kTable[degrees_of_freedom - 1];
    // Cornish-Fisher expansion around the normal quantile (Abramowitz & Stegun 26.7.5).
    const double z = 1.959963985, v = static_cast<double>(degrees_of_freedom);
    const double z3 = z * z * z, z5 = z3 * z * z, z7 = z5 * z * z;
    return z + (z3 + z) / (4 * v) + (5 * z5 + 16 * z3 + 3 * z) / (96 * v * v) + (3 * z7 + 19 * z5 + 17 * z3 - 15 * z) / (384 * v * v * v);
}

double quantile(std::span<const double> sorted, double q) {
    const double at = q * static_cast<double>(sorted.size() - 1);
    const auto low = static_cast<std::size_t>(at);
    const std::size_t high = std::min(low + 1, sorted.size() - 1);
    return sorted[low] + (at - static_cast<double>(low)) * (sorted[high] - sorted[low]);
}

}  // namespace tenpak::evaluate

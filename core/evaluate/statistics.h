// SPDX-License-Identifier: Apache-2.0
// Means with their error, Student's t, percentiles.
#pragma once
#include <cstddef>
#include <span>
#include <vector>

namespace tenpak::evaluate {

struct MeanError {
    double mean = 0;
    double standard_error = 0;  ///< of the mean; 0 where there are fewer than two values
};
MeanError mean_and_error(std::span<const double> values);

/// 97.5 % quantile of Student's t: the half width of a 95 % interval in standard errors. Relative error below 1e-3.
double student_t_975(std::size_t degrees_of_freedom);

/// Quantile by linear interpolation between order statistics; `sorted` ascending, not empty, q in 0..1.
double quantile(std::span<const double> sorted, double q);

}  // namespace tenpak::evaluate

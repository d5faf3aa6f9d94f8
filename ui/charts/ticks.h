// SPDX-License-Identifier: GPL-3.0-or-later
// Tick values for axes. QLogValueAxis labels powers of ten only, and perplexity and latency rarely span one.
#pragma once
#include <QString>
#include <vector>

namespace tenpak::ui {

/// 1-2-5 steps in [low, high], about `wanted` of them.
std::vector<double> linearTicks(double low, double high, int wanted);
/// The coarsest set of mantissas that gives at least five ticks (or `wanted`, if fewer) in [low, high], 0 < low < high.
/// Where the range is under a factor of 1.6 the steps are linear ones.
std::vector<double> logTicks(double low, double high, int wanted);
/// With as many decimals as the smallest step among them needs, so that labels are unique.
std::vector<QString> tickLabels(const std::vector<double>& ticks);

}  // namespace tenpak::ui

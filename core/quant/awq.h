// SPDX-License-Identifier: Apache-2.0
// AWQ (Lin et al., arXiv 2306.00978) as AutoAWQ does it (optimizer.md 1.3): input channels that see large activations are
// scaled up before rounding, so that they lose less; then each group's range is clipped where that lowers the error.
// Losses are computed exactly from H = sum x x^T over all calibration tokens, instead of from a sample of outputs.
#pragma once
#include <functional>
#include <span>
#include <vector>

#include "core/quant/gram.h"
#include "core/quant/grid.h"

namespace tenpak::quant {

/// A linear layer whose input is scaled: w[n][k].
struct AwqTarget {
    const float* w = nullptr;
    std::uint32_t n = 0;
};

struct AwqScales {
    std::vector<float> scales;    ///< [k]: W's columns are multiplied, the producer of the input divided by them
    int best = -1;                ///< grid index i of ratio i/20; -1: no scaling (all 1)
    double loss = 0;              ///< squared output error over the calibration tokens with `scales`
    double plain_loss = 0;        ///< the same without scaling: round-to-nearest
    std::vector<double> losses;   ///< one for each ratio
};

/// Searches the scales that the targets (which share one input) use together. `realize` may move scales to values that
/// the producer of the input can represent (a norm weight in bf16); it sees every trial. "No scaling" competes, too: it
/// is not part of the published grid, and makes the result never worse than round-to-nearest on the calibration text.
Result<AwqScales> search_awq_scales(std::span<const AwqTarget> targets, const Gram& gram, const GroupFormat& format,
                                    const std::function<void(std::span<float>)>& realize, ThreadPool& pool,
                                    const JobContext& ctx);

/// Clamps each group of w[n][k] (already multiplied by `scales`) to the range, of ten between all and 55 % of its largest
/// magnitude, that gives the smallest error d H_gg d^T; H is of the unscaled input, `scales` [k] or empty.
Status clip_awq(std::span<float> w, std::uint32_t n, const Gram& gram, std::span<const float> scales, const GroupFormat& format,
                ThreadPool& pool, const JobContext& ctx);

}  // namespace tenpak::quant

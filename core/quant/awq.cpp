// SPDX-License-Identifier: Apache-2.0
#include "core/quant/awq.h"

#include <limits>

#include "core/quant/gemm.h"
#include "core/quant/round_to_nearest.h"

namespace tenpak::quant {
namespace {

constexpr int kRatios = 20;      // n_grid of the paper's code, for scales and for clipping
constexpr int kClipSteps = 10;   // max_shrink 0.5 of n_grid 20

// Mean over output rows, of all targets, of |w| relative to the largest of its group.
std::vector<float> relative_magnitude(std::span<const AwqTarget> targets, std::uint32_t k, std::uint32_t group) {
    std::vector<double> sum(k);
    std::uint64_t rows = 0;
    for (const AwqTarget& t : targets) {
        rows += t.n;
        for (std::size_t begin = 0; begin < std::size_t{t.n} * k; begin += group) {
            float top = 0;
            for (std::size_t i = begin; i < begin + group; ++i) top = std::max(top, std::fabs(t.w[i]));
            for (std::size_t i = begin; i < begin + group; ++i) sum[i % k] += std::fabs(t.w[i]) / (top + 1e-6);
        }
    }
    std::vector<float> mean(k);
    for (std::uint32_t c = 0; c < k; ++c) mean[c] = static_cast<float>(sum[c] / static_cast<double>(std::max<std::uint64_t>(rows, 1)));
    return mean;
}

std::vector<float> trial_scales(std::span<const float> x_mean, std::span<const float> w_mean, double ratio) {
    std::vector<float> s(x_mean.size());
    float low = std::numeric_limits<float>::max(), high = 0;
    for (std::size_t c = 0; c < s.size(); ++c) {
        const double v = std::pow(static_cast<double>(x_mean[c]), ratio) / (std::pow(static_cast<double>(w_mean[c]), 1 - ratio) + 1e-4);
        s[c] = static_cast<float>(std::max(v, 1e-4));
        low = std::min(low, s[c]);
        high = std::max(high, s[c]);
    }
    const float norm = std::sqrt(high) * std::sqrt(low);
    for (float& v : s) {
        v /= norm;
        if (!std::isfinite(v) || v <= 0) v = 1;
    }
    return s;
}

// Squared output error of Q(W s)/s, over all targets.
Result<double> scaled_loss(std::span<const AwqTarget> targets, const Gram& gram, const GroupFormat& format,
                           std::span<const float> s, ThreadPool& pool, const JobContext& ctx) {
    const std::uint32_t k = gram.k();
    double total = 0;
    for (const AwqTarget& t : targets) {
        std::vector<float> d(std::size_t{t.n} * k);
        constexpr std::uint32_t kRows = 16;
        TENPAK_RETURN_IF_ERROR(pool.try_parallel_for((t.n + kRows - 1) / kRows, ctx, [&](std::size_t task, unsigned) -> Status {
            const auto r0 = static_cast<std::uint32_t>(task) * kRows;
            const std::uint32_t rows = std::min(kRows, t.n - r0);
            const float* w = t.w + std::size_t{r0} * k;
            float* out = d.data() + std::size_t{r0} * k;
            std::vector<float> scaled(std::size_t{rows} * k);
            for (std::size_t i = 0; i < scaled.size(); ++i) scaled[i] = w[i] * s[i % k];
            round_values(scaled.data(), rows, k, format, out);
            for (std::size_t i = 0; i < scaled.size(); ++i) out[i] = out[i] / s[i % k] - w[i];
            return {};
        }));
        TENPAK_ASSIGN(const double e, output_error(d.data(), t.n, gram, pool, ctx));
        total += e;
    }
    return total;
}

}  // namespace

Result<AwqScales> search_awq_scales(std::span<const AwqTarget> targets, const Gram& gram, const GroupFormat& format,
                                    const std::function<void(std::span<float>)>& realize, ThreadPool& pool,
                                    const JobContext& ctx) {
    AwqScales result;
    result.scales.assign(gram.k(), 1.0f);
    TENPAK_ASSIGN(result.plain_loss, scaled_loss(targets, gram, format, result.scales, pool, ctx));
    result.loss = result.plain_loss;
    const std::vector<float> x_mean = gram.mean_abs(), w_mean = relative_magnitude(targets, gram.k(), format.group);
    for (int i = 0; i < kRatios; ++i) {
        std::vector<float> s = trial_scales(x_mean, w_mean, static_cast<double>(i) / kRatios);
        realize(s);
        TENPAK_ASSIGN(const double loss, scaled_loss(targets, gram, format, s, pool, ctx));
        result.losses.push_back(loss);
        if (loss < result.loss) {
            result.loss = loss;
            result.best = i;
            result.scales = std::move(s);
        }
    }
    if (!std::isfinite(result.loss)) {
        return make_error(ErrorCode::kNumeric, "the error of every scale is NaN or infinite", {},
                          "Check the model with tenpak eval");
    }
    return result;
}

Status clip_awq(std::span<float> w, std::uint32_t n, const Gram& gram, std::span<const float> scales, const GroupFormat& format,
                ThreadPool& pool, const JobContext& ctx) {
    const std::uint32_t k = gram.k(), g = format.group, groups = k / g;
    constexpr std::uint32_t kRows = 48;
    const std::uint32_t row_tasks = (n + kRows - 1) / kRows;
    const int max_code = format.max_code();
    return pool.try_parallel_for(std::size_t{groups} * row_tasks, ctx, [&](std::size_t task, unsigned) -> Status {
        const std::uint32_t c0 = static_cast<std::uint32_t>(task / row_tasks) * g;
        const std::uint32_t r0 = static_cast<std::uint32_t>(task % row_tasks) * kRows, rows = std::min(kRows, n - r0);
        // The group's block of H for the scaled input x / s.
        std::vector<float> h(std::size_t{g} * g);
        for (std::uint32_t i = 0; i < g; ++i) {
            for (std::uint32_t j = 0; j < g; ++j) {
                const float s = scales.empty() ? 1.0f : scales[c0 + i] * scales[c0 + j];
                h[std::size_t{i} * g + j] = gram.at(c0 + i, c0 + j) / s;
            }
        }
        std::vector<float> d(std::size_t{rows} * g), product(d.size()), top(rows), best(rows);
        std::vector<double> lowest(rows, std::numeric_limits<double>::infinity());
        for (std::uint32_t r = 0; r < rows; ++r) {
            const float* x = w.data() + std::size_t{r0 + r} * k + c0;
            for (std::uint32_t c = 0; c < g; ++c) top[r] = std::max(top[r], std::fabs(x[c]));
            best[r] = top[r];
        }
        for (int step = 0; step < kClipSteps; ++step) {
            TENPAK_RETURN_IF_ERROR(ctx.check());
            const float keep = 1.0f - static_cast<float>(step) / kRatios;
            for (std::uint32_t r = 0; r < rows; ++r) {
                const float* x = w.data() + std::size_t{r0 + r} * k + c0;
                const float limit = top[r] * keep;
                float low = 0, high = 0;
                for (std::uint32_t c = 0; c < g; ++c) {
                    low = std::min(low, x[c]);
                    high = std::max(high, x[c]);
                }
                const Grid grid = grid_of_range(std::max(low, -limit), std::min(high, limit), format);
                float* out = d.data() + std::size_t{r} * g;
                for (std::uint32_t c = 0; c < g; ++c) out[c] = nearest_value(std::clamp(x[c], -limit, limit), grid, max_code) - x[c];
            }
            std::fill(product.begin(), product.end(), 0.0f);
            gemm_add(d.data(), g, 1, h.data(), g, product.data(), g, rows, g, g, 1.0f);
            for (std::uint32_t r = 0; r < rows; ++r) {
                double e = 0;
                for (std::uint32_t c = 0; c < g; ++c) e += static_cast<double>(product[std::size_t{r} * g + c]) * d[std::size_t{r} * g + c];
                if (e < lowest[r]) {
                    lowest[r] = e;
                    best[r] = top[r] * keep;
                }
            }
        }
        for (std::uint32_t r = 0; r < rows; ++r) {
            float* x = w.data() + std::size_t{r0 + r} * k + c0;
            for (std::uint32_t c = 0; c < g; ++c) x[c] = std::clamp(x[c], -best[r], best[r]);
        }
        return {};
    });
}

}  // namespace tenpak::quant

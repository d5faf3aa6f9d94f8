// SPDX-License-Identifier: Apache-2.0
#include <numeric>

#include "core/quant/cholesky.h"
#include "core/quant/gptq.h"

namespace tenpak::quant {
namespace {

std::vector<std::uint32_t> rounding_order(std::span<const double> diagonal, std::uint32_t group, ColumnOrder kind) {
    const auto k = static_cast<std::uint32_t>(diagonal.size());
    std::vector<std::uint32_t> order(k);
    std::iota(order.begin(), order.end(), 0u);
    const auto falling = [&](std::uint32_t a, std::uint32_t b) { return diagonal[a] > diagonal[b]; };
    if (kind == ColumnOrder::kByImportance) std::stable_sort(order.begin(), order.end(), falling);
    if (kind != ColumnOrder::kByGroup) return order;
    std::vector<std::uint32_t> groups(k / group);
    std::iota(groups.begin(), groups.end(), 0u);
    for (const std::uint32_t g : groups) std::stable_sort(order.begin() + g * group, order.begin() + (g + 1) * group, falling);
    std::stable_sort(groups.begin(), groups.end(), [&](std::uint32_t a, std::uint32_t b) {
        return diagonal[order[std::size_t{a} * group]] > diagonal[order[std::size_t{b} * group]];
    });
    std::vector<std::uint32_t> result;
    result.reserve(k);
    for (const std::uint32_t g : groups) result.insert(result.end(), order.begin() + g * group, order.begin() + (g + 1) * group);
    return result;
}

}  // namespace

Result<GptqFactor> factor_hessian(const Gram& gram, std::uint32_t group, const GptqOptions& options, ThreadPool& pool,
                                  const JobContext& ctx) {
    GptqFactor f;
    f.order_kind = options.order;
    const std::uint32_t k = f.k = gram.k();
    std::vector<double> diagonal(k);
    for (std::uint32_t i = 0; i < k; ++i) {
        diagonal[i] = gram.at(i, i);
        if (diagonal[i] <= 0) {
            diagonal[i] = 0;
            ++f.dead;
        }
    }
    const double mean = std::accumulate(diagonal.begin(), diagonal.end(), 0.0) / k;
    f.order = rounding_order(diagonal, group, options.order);
    for (f.damp = options.damp;; f.damp += options.damp_step) {
        // Reversed, so that the factor comes out upper: H = M M^T with M upper, hence H^-1 = U^T U with U = M^-1.
        std::vector<double> h(std::size_t{k} * k);
        for (std::uint32_t i = 0; i < k; ++i) {
            const std::uint32_t row = f.order[k - 1 - i];
            for (std::uint32_t j = 0; j < i; ++j) h[std::size_t{i} * k + j] = gram.at(row, f.order[k - 1 - j]);
            h[std::size_t{i} * k + i] = diagonal[row] == 0 ? 1.0 : diagonal[row] + f.damp * mean;
        }
        const Status factored = cholesky(h, k, pool, ctx);
        if (!factored.ok()) {
            if (factored.error().code != ErrorCode::kNumeric || f.damp + options.damp_step >= 1) return factored.error();
            continue;
        }
        TENPAK_ASSIGN(const std::vector<double> inverse, invert_lower(h, k, pool, ctx));
        f.u.resize(std::size_t{k} * k);
        for (std::uint32_t i = 0; i < k; ++i) {
            for (std::uint32_t j = i; j < k; ++j) {
                f.u[std::size_t{i} * k + j] = static_cast<float>(inverse[std::size_t{k - 1 - i} * k + (k - 1 - j)]);
            }
        }
        // H counts up to 2^20 tokens: the scale of U matters only relative to its diagonal, but must fit fp32.
        for (std::uint32_t i = 0; i < k; ++i) {
            const float u = f.u[std::size_t{i} * k + i];
            if (!(u > 0) || !std::isfinite(1.0f / u) || !std::isfinite(1.0f / (u * u))) {
                return make_error(ErrorCode::kNumeric, "the inverse of the calibration statistics leaves the range of fp32");
            }
        }
        return f;
    }
}

GptqFactor identity_factor(std::uint32_t k) {
    GptqFactor f;
    f.k = k;
    f.order.resize(k);
    std::iota(f.order.begin(), f.order.end(), 0u);
    f.u.resize(std::size_t{k} * k);
    for (std::uint32_t i = 0; i < k; ++i) f.u[std::size_t{i} * k + i] = 1;
    return f;
}

}  // namespace tenpak::quant

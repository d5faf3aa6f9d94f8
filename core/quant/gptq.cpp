// SPDX-License-Identifier: Apache-2.0
#include "core/quant/gptq.h"

#include <numeric>

#include "core/quant/cholesky.h"
#include "core/quant/gemm.h"
#include "core/quant/round_to_nearest.h"

namespace tenpak::quant {
namespace {

constexpr std::uint32_t kBlock = 128;  // columns whose updates of the rest are done in one go
constexpr std::uint32_t kRows = 32;    // rows a task: they share each loaded row of U

std::vector<std::uint32_t> rounding_order(std::span<const double> diagonal, std::uint32_t group, bool by_importance) {
    const auto k = static_cast<std::uint32_t>(diagonal.size());
    std::vector<std::uint32_t> order(k);
    std::iota(order.begin(), order.end(), 0u);
    if (!by_importance) return order;
    std::vector<std::uint32_t> groups(k / group);
    std::iota(groups.begin(), groups.end(), 0u);
    const auto falling = [&](std::uint32_t a, std::uint32_t b) { return diagonal[a] > diagonal[b]; };
    for (const std::uint32_t g : groups) std::stable_sort(order.begin() + g * group, order.begin() + (g + 1) * group, falling);
    std::stable_sort(groups.begin(), groups.end(), [&](std::uint32_t a, std::uint32_t b) {
        return diagonal[order[std::size_t{a} * group]] > diagonal[order[std::size_t{b} * group]];
    });
    std::vector<std::uint32_t> result;
    result.reserve(k);
    for (const std::uint32_t g : groups) result.insert(result.end(), order.begin() + g * group, order.begin() + (g + 1) * group);
    return result;
}

// One task's rows, columns in rounding order.
struct Tile {
    std::uint32_t rows = 0, k = 0;
    std::vector<float> w, errors;  // [rows][k], [rows][kBlock]
    std::vector<std::uint8_t> codes;
    std::vector<Grid> grids;       // [rows][groups], in rounding order
};

void round_block(Tile& tile, const GptqFactor& factor, const GroupFormat& format, std::uint32_t i1, std::uint32_t i2) {
    const std::uint32_t k = tile.k, groups = k / format.group;
    const int max_code = format.max_code();
    for (std::uint32_t i = i1; i < i2; ++i) {
        const float* u = factor.u.data() + std::size_t{i} * k;
        const float inverse = 1.0f / u[i];
        for (std::uint32_t r = 0; r < tile.rows; ++r) {
            float* w = tile.w.data() + std::size_t{r} * k;
            Grid& grid = tile.grids[std::size_t{r} * groups + i / format.group];
            if (i % format.group == 0) grid = fit_grid(w + i, format.group, format);
            tile.codes[std::size_t{r} * k + i] = nearest_code(w[i], grid, max_code);
            const float error = (w[i] - nearest_value(w[i], grid, max_code)) * inverse;
            tile.errors[std::size_t{r} * kBlock + (i - i1)] = error;
            for (std::uint32_t j = i; j < i2; ++j) w[j] -= error * u[j];
        }
    }
}

}  // namespace

Result<GptqFactor> factor_hessian(const Gram& gram, std::uint32_t group, const GptqOptions& options, ThreadPool& pool,
                                  const JobContext& ctx) {
    GptqFactor f;
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
    f.order = rounding_order(diagonal, group, options.group_order);
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
            if (!(f.u[std::size_t{i} * k + i] > 0) || !std::isfinite(1.0f / f.u[std::size_t{i} * k + i])) {
                return make_error(ErrorCode::kNumeric, "the inverse of the calibration statistics leaves the range of fp32");
            }
        }
        return f;
    }
}

Result<compute::LinearWeight> gptq(std::span<const float> w, std::uint32_t n, const GptqFactor& factor, const GroupFormat& format,
                                   ThreadPool& pool, const JobContext& ctx) {
    const std::uint32_t k = factor.k, groups = k / format.group;
    compute::LinearWeight q = make_int4(n, k, format);
    const Status done = pool.try_parallel_for((n + kRows - 1) / kRows, ctx, [&](std::size_t task, unsigned) -> Status {
        const auto r0 = static_cast<std::uint32_t>(task) * kRows;
        Tile tile;
        tile.rows = std::min(kRows, n - r0);
        tile.k = k;
        tile.w.resize(std::size_t{tile.rows} * k);
        tile.errors.resize(std::size_t{tile.rows} * kBlock);
        tile.codes.resize(tile.w.size());
        tile.grids.resize(std::size_t{tile.rows} * groups);
        for (std::uint32_t r = 0; r < tile.rows; ++r) {
            for (std::uint32_t i = 0; i < k; ++i) tile.w[std::size_t{r} * k + i] = w[std::size_t{r0 + r} * k + factor.order[i]];
        }
        for (std::uint32_t i1 = 0; i1 < k; i1 += kBlock) {
            TENPAK_RETURN_IF_ERROR(ctx.check());
            const std::uint32_t i2 = std::min(i1 + kBlock, k);
            round_block(tile, factor, format, i1, i2);
            gemm_add(tile.errors.data(), kBlock, 1, factor.u.data() + std::size_t{i1} * k + i2, k, tile.w.data() + i2, k, tile.rows,
                     k - i2, i2 - i1, -1.0f);
        }
        std::vector<std::uint8_t> codes(k);
        std::vector<Grid> grids(groups);
        for (std::uint32_t r = 0; r < tile.rows; ++r) {
            for (std::uint32_t i = 0; i < k; ++i) codes[factor.order[i]] = tile.codes[std::size_t{r} * k + i];
            for (std::uint32_t g = 0; g < groups; ++g) grids[factor.order[std::size_t{g} * format.group] / format.group] = tile.grids[std::size_t{r} * groups + g];
            set_int4_row(q, r0 + r, codes.data(), grids.data());
        }
        return {};
    });
    TENPAK_RETURN_IF_ERROR(done);
    return q;
}

}  // namespace tenpak::quant

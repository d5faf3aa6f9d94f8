// SPDX-License-Identifier: Apache-2.0
#include "core/quant/gptq.h"

#include "core/quant/gemm.h"
#include "core/quant/packed_rows.h"
#include "core/quant/sparse_group.h"

namespace tenpak::quant {
namespace {

constexpr std::uint32_t kBlock = 128;   // columns whose updates of the rest are done in one go
constexpr std::uint32_t kRows = 32;     // rows a task: they share each loaded row of U
constexpr int kClipSteps = 16;          // ranges tried: 100 % down to 70 %
constexpr float kClipStep = 0.02f;

// The uniform grid of a group, up to 8 bits.
struct UniformGroup {
    Grid grid;
    void fit(const float* w, const float* weight, const GroupFormat& f, bool clip) {
        float low = 0, high = 0;
        for (std::uint32_t i = 0; i < f.group; ++i) {
            low = std::min(low, w[i]);
            high = std::max(high, w[i]);
        }
        grid = grid_of_range(low, high, f);
        if (!clip) return;
        const auto error = [&](const Grid& g) {
            float e = 0;
            for (std::uint32_t i = 0; i < f.group; ++i) {
                const float d = w[i] - nearest_value(w[i], g, f.max_code());
                e += d * d * weight[i];
            }
            return e;
        };
        float least = error(grid);
        for (int step = 1; step < kClipSteps; ++step) {
            const float keep = 1.0f - kClipStep * static_cast<float>(step);
            const Grid g = grid_of_range(low * keep, high * keep, f);
            if (const float e = error(g); e < least) {
                least = e;
                grid = g;
            }
        }
    }
    std::uint16_t encode(float w, float, int max_code) const { return nearest_code(w, grid, max_code); }
    float decode(std::uint16_t code) const { return static_cast<float>(static_cast<int>(code) - grid.zero) * grid.scale; }
};

// One task's rows, columns in rounding order.
template <class Group>
struct Tile {
    std::uint32_t rows = 0, k = 0;
    std::vector<float> w, errors;  // [rows][k], [rows][kBlock]
    std::vector<std::uint16_t> codes;
    std::vector<Group> groups;     // [rows][groups], in rounding order
};

template <class Group>
void round_block(Tile<Group>& tile, const GptqFactor& factor, const std::vector<float>& weight, const GroupFormat& format, bool clip, std::uint32_t i1, std::uint32_t i2) {
    const std::uint32_t k = tile.k, groups = k / format.group;
    const int max_code = format.max_code();
    for (std::uint32_t i = i1; i < i2; ++i) {
        const float* u = factor.u.data() + std::size_t{i} * k;
        const float inverse = 1.0f / u[i];
        for (std::uint32_t r = 0; r < tile.rows; ++r) {
            float* w = tile.w.data() + std::size_t{r} * k;
            Group& group = tile.groups[std::size_t{r} * groups + i / format.group];
            if (i % format.group == 0) group.fit(w + i, weight.data() + i, format, clip);
            const std::uint16_t code = group.encode(w[i], weight[i], max_code);
            tile.codes[std::size_t{r} * k + i] = code;
            const float error = (w[i] - group.decode(code)) * inverse;
            tile.errors[std::size_t{r} * kBlock + (i - i1)] = error;
            subtract_scaled(u + i, error, i2 - i, w + i);
        }
    }
}

// `store(row, codes, groups)` gets a finished row in the order of the columns, or of rounding for a group index.
template <class Group, class Store>
Status run(std::span<const float> w, std::uint32_t n, const GptqFactor& factor, const GroupFormat& format, bool clip, ThreadPool& pool, const JobContext& ctx,
           const Store& store) {
    const std::uint32_t k = factor.k, groups = k / format.group;
    std::vector<float> weight(k);  // GPTQ's own loss of an error in this column
    for (std::uint32_t i = 0; i < k; ++i) {
        const float u = factor.u[std::size_t{i} * k + i];
        weight[i] = 1.0f / (u * u);
    }
    return pool.try_parallel_for((n + kRows - 1) / kRows, ctx, [&](std::size_t task, unsigned) -> Status {
        const auto r0 = static_cast<std::uint32_t>(task) * kRows;
        Tile<Group> tile;
        tile.rows = std::min(kRows, n - r0);
        tile.k = k;
        tile.w.resize(std::size_t{tile.rows} * k);
        tile.errors.resize(std::size_t{tile.rows} * kBlock);
        tile.codes.resize(tile.w.size());
        tile.groups.resize(std::size_t{tile.rows} * groups);
        for (std::uint32_t r = 0; r < tile.rows; ++r) {
            for (std::uint32_t i = 0; i < k; ++i) tile.w[std::size_t{r} * k + i] = w[std::size_t{r0 + r} * k + factor.order[i]];
        }
        for (std::uint32_t i1 = 0; i1 < k; i1 += kBlock) {
            TENPAK_RETURN_IF_ERROR(ctx.check());
            const std::uint32_t i2 = std::min(i1 + kBlock, k);
            round_block(tile, factor, weight, format, clip, i1, i2);
            gemm_add(tile.errors.data(), kBlock, 1, factor.u.data() + std::size_t{i1} * k + i2, k, tile.w.data() + i2, k, tile.rows,
                     k - i2, i2 - i1, -1.0f);
        }
        std::vector<std::uint16_t> codes(k);
        std::vector<Group> in_order(groups);
        for (std::uint32_t r = 0; r < tile.rows; ++r) {
            for (std::uint32_t i = 0; i < k; ++i) codes[factor.order[i]] = tile.codes[std::size_t{r} * k + i];
            for (std::uint32_t g = 0; g < groups; ++g) {
                const std::uint32_t stored = factor.order_kind == ColumnOrder::kByImportance ? g : factor.order[std::size_t{g} * format.group] / format.group;
                in_order[stored] = tile.groups[std::size_t{r} * groups + g];
            }
            store(r0 + r, codes, in_order);
        }
        return {};
    });
}

}  // namespace

Result<compute::LinearWeight> gptq(std::span<const float> w, std::uint32_t n, const GptqFactor& factor, const GroupFormat& format, bool clip,
                                   ThreadPool& pool, const JobContext& ctx) {
    compute::LinearWeight q = make_grouped(n, factor.k, format);
    if (factor.order_kind == ColumnOrder::kByImportance) {
        q.group_index.resize(factor.k);
        for (std::uint32_t i = 0; i < factor.k; ++i) q.group_index[factor.order[i]] = i / format.group;
    }
    TENPAK_RETURN_IF_ERROR(run<UniformGroup>(w, n, factor, format, clip, pool, ctx, [&](std::uint32_t row, const std::vector<std::uint16_t>& codes, const std::vector<UniformGroup>& groups) {
        std::vector<Grid> grids;
        for (const UniformGroup& g : groups) grids.push_back(g.grid);
        set_grouped_row(q, row, codes.data(), grids.data());
    }));
    return q;
}

Result<compute::LinearWeight> gptq_sparse(std::span<const float> w, std::uint32_t n, const GptqFactor& factor, std::uint32_t group, float min_scale,
                                          ThreadPool& pool, const JobContext& ctx) {
    GroupFormat format;
    format.group = group;
    format.min_scale = min_scale;
    compute::LinearWeight q = make_sparse(n, factor.k, group);
    TENPAK_RETURN_IF_ERROR(run<SparseGroup>(w, n, factor, format, false, pool, ctx, [&](std::uint32_t row, const std::vector<std::uint16_t>& codes, const std::vector<SparseGroup>& groups) {
        set_sparse_row(q, row, codes.data(), groups);
    }));
    return q;
}

}  // namespace tenpak::quant

// SPDX-License-Identifier: Apache-2.0
#include "core/quant/gram.h"

#include <algorithm>
#include <cmath>

#include "core/quant/gemm.h"

namespace tenpak::quant {
namespace {

constexpr std::uint32_t kTile = 128;

}  // namespace

Gram::Gram(std::uint32_t k) : k_(k), h_(std::size_t{k} * k), abs_sum_(k) {}

void Gram::add(const float* x, std::uint32_t tokens, ThreadPool& pool) {
    const std::uint32_t tiles = (k_ + kTile - 1) / kTile;
    pool.parallel_for(std::size_t{tiles} * tiles, [&](std::size_t index, unsigned) {
        const auto ti = static_cast<std::uint32_t>(index / tiles), tj = static_cast<std::uint32_t>(index % tiles);
        if (ti > tj) return;  // symmetric: finish() mirrors
        const std::uint32_t i0 = ti * kTile, j0 = tj * kTile;
        const std::uint32_t ni = std::min(kTile, k_ - i0), nj = std::min(kTile, k_ - j0);
        gemm_add(x + i0, 1, k_, x + j0, k_, h_.data() + std::size_t{i0} * k_ + j0, k_, ni, nj, tokens, 1.0f);
        if (ti != tj) return;
        for (std::uint32_t t = 0; t < tokens; ++t) {
            const float* row = x + std::size_t{t} * k_;
            for (std::uint32_t c = i0; c < i0 + ni; ++c) abs_sum_[c] += std::fabs(row[c]);
        }
    });
    tokens_ += tokens;
}

Status Gram::finish(const std::string& where) {
    for (std::uint32_t i = 0; i < k_; ++i) {
        for (std::uint32_t j = 0; j < i; ++j) h_[std::size_t{i} * k_ + j] = h_[std::size_t{j} * k_ + i];
        // A NaN or infinity in any input of channel i shows on the diagonal: squares do not cancel.
        if (!std::isfinite(at(i, i))) {
            return make_error(ErrorCode::kNumeric, "the calibration text makes this layer's input NaN or infinite", where,
                              "Check the model with tenpak eval, or calibrate with another text");
        }
    }
    return {};
}

std::vector<float> Gram::mean_abs() const {
    std::vector<float> mean(k_);
    const double n = static_cast<double>(std::max<std::uint64_t>(tokens_, 1));
    for (std::uint32_t c = 0; c < k_; ++c) mean[c] = static_cast<float>(abs_sum_[c] / n);
    return mean;
}

Result<double> output_error(const float* d, std::uint32_t rows, const Gram& gram, ThreadPool& pool, const JobContext& ctx) {
    const std::uint32_t k = gram.k();
    // Some 10 ms of work a task, so that cancelling answers in time. Depends on k alone: the order of the sums is fixed.
    const std::uint64_t row_flops = std::uint64_t{k} * k * 2;
    const auto step = static_cast<std::uint32_t>(std::clamp<std::uint64_t>(300'000'000 / std::max<std::uint64_t>(row_flops, 1), 6, 96));
    const std::uint32_t tasks = (rows + step - 1) / step;
    std::vector<double> sums(tasks);
    TENPAK_RETURN_IF_ERROR(pool.try_parallel_for(tasks, ctx, [&](std::size_t task, unsigned) -> Status {
        const auto r0 = static_cast<std::uint32_t>(task) * step;
        const std::uint32_t n = std::min(step, rows - r0);
        std::vector<float> product(std::size_t{n} * k);
        const float* x = d + std::size_t{r0} * k;
        gemm_add(x, k, 1, gram.data(), k, product.data(), k, n, k, k, 1.0f);
        double s = 0;
        for (std::size_t i = 0; i < product.size(); ++i) s += static_cast<double>(product[i]) * x[i];
        sums[task] = s;
        return {};
    }));
    double total = 0;
    for (const double s : sums) total += s;
    return std::max(total, 0.0);  // rounding may leave a tiny negative where d is in the null space of H
}

}  // namespace tenpak::quant

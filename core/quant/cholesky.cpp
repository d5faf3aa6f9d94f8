// SPDX-License-Identifier: Apache-2.0
#include "core/quant/cholesky.h"

#include <Eigen/Cholesky>
#include <Eigen/Core>
#include <algorithm>
#include <cmath>

namespace tenpak::quant {
namespace {

using Matrix = Eigen::Matrix<double, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
constexpr std::uint32_t kBlock = 128;

auto view(std::vector<double>& a, std::uint32_t k) { return Eigen::Map<Matrix>(a.data(), k, k); }
auto view(const std::vector<double>& a, std::uint32_t k) { return Eigen::Map<const Matrix>(a.data(), k, k); }

}  // namespace

Status cholesky(std::vector<double>& a, std::uint32_t k, ThreadPool& pool, const JobContext& ctx) {
    auto m = view(a, k);
    for (std::uint32_t i0 = 0; i0 < k; i0 += kBlock) {
        TENPAK_RETURN_IF_ERROR(ctx.check());
        const std::uint32_t b = std::min(kBlock, k - i0), rest = i0 + b;
        const Eigen::LLT<Matrix> llt(m.block(i0, i0, b, b));
        if (llt.info() != Eigen::Success) return make_error(ErrorCode::kNumeric, "the matrix is not positive definite");
        const Matrix corner = llt.matrixL();
        if (!corner.allFinite()) return make_error(ErrorCode::kNumeric, "the matrix is not positive definite");
        m.block(i0, i0, b, b).triangularView<Eigen::Lower>() = corner;
        const std::uint32_t tiles = (k - rest + kBlock - 1) / kBlock;
        const auto begin = [&](std::size_t t) { return rest + static_cast<std::uint32_t>(t) * kBlock; };
        const auto size = [&](std::size_t t) { return std::min(kBlock, k - begin(t)); };
        TENPAK_RETURN_IF_ERROR(pool.try_parallel_for(tiles, ctx, [&](std::size_t t, unsigned) -> Status {
            Matrix panel = m.block(begin(t), i0, size(t), b);
            corner.triangularView<Eigen::Lower>().transpose().solveInPlace<Eigen::OnTheRight>(panel);
            m.block(begin(t), i0, size(t), b) = panel;
            return {};
        }));
        TENPAK_RETURN_IF_ERROR(pool.try_parallel_for(std::size_t{tiles} * tiles, ctx, [&](std::size_t index, unsigned) -> Status {
            const std::size_t ti = index / tiles, tj = index % tiles;
            if (tj > ti) return {};
            m.block(begin(ti), begin(tj), size(ti), size(tj)).noalias() -=
                m.block(begin(ti), i0, size(ti), b) * m.block(begin(tj), i0, size(tj), b).transpose();
            return {};
        }));
    }
    return {};
}

Result<std::vector<double>> invert_lower(const std::vector<double>& l, std::uint32_t k, ThreadPool& pool, const JobContext& ctx) {
    std::vector<double> inverse(std::size_t{k} * k);
    const auto m = view(l, k);
    auto x = view(inverse, k);
    const std::uint32_t tiles = (k + kBlock - 1) / kBlock;
    const auto begin = [&](std::size_t t) { return static_cast<std::uint32_t>(t) * kBlock; };
    const auto size = [&](std::size_t t) { return std::min(kBlock, k - begin(t)); };
    // Columns of the inverse are independent: L X = I, block row by block row.
    const Status done = pool.try_parallel_for(tiles, ctx, [&](std::size_t j, unsigned) -> Status {
        for (std::size_t i = j; i < tiles; ++i) {
            TENPAK_RETURN_IF_ERROR(ctx.check());
            Matrix right = Matrix::Zero(size(i), size(j));
            if (i == j) right.setIdentity();
            else right.noalias() -= m.block(begin(i), begin(j), size(i), begin(i) - begin(j)) * x.block(begin(j), begin(j), begin(i) - begin(j), size(j));
            m.block(begin(i), begin(i), size(i), size(i)).triangularView<Eigen::Lower>().solveInPlace(right);
            x.block(begin(i), begin(j), size(i), size(j)) = right;
        }
        return {};
    });
    TENPAK_RETURN_IF_ERROR(done);
    return inverse;
}

}  // namespace tenpak::quant

// SPDX-License-Identifier: Apache-2.0
#include "core/delta/lossy_low_rank.h"

#include <algorithm>
#include <cmath>

#include "core/delta/low_rank_fit.h"
#include "core/delta/low_rank_math.h"

namespace tenpak::delta {

namespace {

/// Directions beside the wanted ones that the iteration carries, and its passes over the matrix (Halko, Martinsson,
/// Tropp 2011: 5 to 10 more, two or three powers where the spectrum falls slowly).
constexpr std::uint32_t kMoreDirections = 8;
constexpr unsigned kPasses = 4;

/// u = difference x v, [rows][k].
Result<std::vector<float>> left_side(const MatrixPair& pair, const Subspace& s, unsigned threads, const JobContext& ctx) {
    std::vector<float> u(std::size_t{pair.rows} * s.k);
    const std::uint32_t step = rows_together(pair);
    const std::function<Result<bool>(std::size_t)> work = [&](std::size_t i) -> Result<bool> {
        const auto first = static_cast<std::uint32_t>(i * step);
        TENPAK_ASSIGN(const RowBlock b, read_rows(pair, first, std::min(step, pair.rows - first)));
        multiply(b.difference.data(), b.rows, pair.columns, s.v.data(), s.k, u.data() + std::size_t{first} * s.k);
        return true;
    };
    const std::function<Status(std::size_t, bool&&)> none = [](std::size_t, bool&&) -> Status { return {}; };
    TENPAK_RETURN_IF_ERROR((parallel_ordered<bool>((pair.rows + step - 1) / step, threads, threads, ctx, work, none)));
    return u;
}

Result<std::optional<Factors>> truncate(const MatrixPair& pair, std::uint32_t rank, unsigned threads, const JobContext& ctx) {
    const std::uint32_t least_side = std::min(pair.rows, pair.columns), most = std::min(least_side, kMaxFactorRank);
    rank = std::min(rank, most);
    if (rank == 0) return std::optional<Factors>{};
    TENPAK_ASSIGN(const Subspace s, find_subspace(pair, std::min(rank + kMoreDirections, most), kPasses, threads, ctx));
    if (!(s.difference > 0)) return std::optional<Factors>{};
    TENPAK_ASSIGN(const std::vector<float> u, left_side(pair, s, threads, ctx));
    const RealFactors all = balance(u, s.v, s.k, std::min(rank + kMoreDirections, most), pair.rows, pair.columns);
    RealFactors real;  // the largest `rank` of them
    real.rows = all.rows;
    real.columns = all.columns;
    real.rank = rank;
    const auto narrow = [&](const std::vector<double>& from, std::vector<double>& to) {
        for (std::size_t i = 0; i < from.size(); i += all.rank) to.insert(to.end(), from.begin() + static_cast<std::ptrdiff_t>(i), from.begin() + static_cast<std::ptrdiff_t>(i + rank));
    };
    narrow(all.u, real.u);
    narrow(all.v, real.v);
    real.singular.assign(all.singular.begin(), all.singular.begin() + rank);
    double kept = 0;
    for (const double x : real.singular) kept += x * x;
    const double weights = static_cast<double>(pair.rows) * static_cast<double>(pair.columns);
    const double left = std::sqrt(std::max(0.0, s.difference * s.difference - kept / weights));
    // quantize(): an error of about step / sqrt(6) for each weight. Small beside what is left out, and beside what is kept: in
    // bf16 what is left is mostly rounding, which good factors predict. Differences in single precision tell no more than 1e-5.
    const double rounding = std::max(std::min(0.1 * left, 0.03 * std::sqrt(kept / weights)), 1e-5 * s.difference);
    double step = std::sqrt(6.0) * rounding;
    for (int coarser = 0; coarser < 24; ++coarser, step *= 1.5) {
        if (auto f = quantize(real, step)) return f;
    }
    return std::optional<Factors>{};
}

}  // namespace

Result<std::optional<Factors>> truncate_to_rank(const MatrixPair& pair, std::uint32_t rank, unsigned threads, const JobContext& ctx) {
    try {
        return truncate(pair, rank, threads, ctx);
    } catch (const std::bad_alloc&) {
        return make_error(ErrorCode::kOutOfMemory, "not enough memory to reduce a tensor's change to a rank");
    }
}

}  // namespace tenpak::delta

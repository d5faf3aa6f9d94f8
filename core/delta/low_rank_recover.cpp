// SPDX-License-Identifier: Apache-2.0
#include "core/delta/low_rank_recover.h"

#include <algorithm>
#include <cmath>
#include <new>
#include <random>

#include "core/delta/low_rank_fit.h"
#include "core/delta/low_rank_math.h"

namespace tenpak::delta {

namespace {

/// Singular values above this many times the edge of the rounding noise are no noise.
constexpr double kAboveEdge = 1.12;
/// Components fitted beside those that stand out of the noise: weighted by their rounding, weights tell of weaker ones,
/// too.
constexpr std::uint32_t kSpare = 8;
/// Fitted to noise, components are of nearly one size: those larger than this many times the middle spare one are real.
constexpr double kAboveFloor = 1.2;
/// Half of the spare ones differ by less than this where all of them are noise.
constexpr double kFlat = 1.35;
/// Weighted, noise stays below this many times the edge that it has unweighted.
constexpr double kNoiseBelow = 0.6;
/// While components are looked for, every second observation is enough.
constexpr std::size_t kWideStride = 2;
/// Half a rounding cell in standard deviations of a uniform error, drawn in a little.
constexpr double kCell = 0.9 * 1.7320508;

/// Both sides of the factors being fitted, [...][k].
class Fit {
 public:
    Fit(const MatrixPair& pair, const Subspace& s, unsigned threads, const JobContext& ctx)
        : pair_(pair), subspace_(s), threads_(threads), ctx_(ctx), pool_(threads) {}

    std::uint32_t rank() const { return rank_; }
    /// Starts from the first `rank` directions of the subspace and random ones behind its width.
    Status start(std::uint32_t rank) {
        std::vector<float> v(std::size_t{pair_.columns} * thin(rank));
        for (std::size_t j = 0; j < pair_.columns; ++j)
            std::copy_n(subspace_.v.begin() + static_cast<std::ptrdiff_t>(j * subspace_.k),
                        std::min<std::size_t>(rank, subspace_.k),
                        v.begin() + static_cast<std::ptrdiff_t>(j * thin(rank)));
        return adopt(std::move(v), std::min<std::uint32_t>(rank, static_cast<std::uint32_t>(subspace_.k)), rank);
    }
    /// More components, random ones.
    Status widen(std::uint32_t rank) {
        std::vector<float> v(std::size_t{pair_.columns} * thin(rank));
        for (std::size_t j = 0; j < pair_.columns; ++j)
            std::copy_n(v_.begin() + static_cast<std::ptrdiff_t>(j * k_), rank_,
                        v.begin() + static_cast<std::ptrdiff_t>(j * thin(rank)));
        return adopt(std::move(v), rank_, rank);
    }
    /// The `rank` largest components alone.
    Status narrow(const RealFactors& r, std::uint32_t rank) {
        std::vector<float> v(std::size_t{pair_.columns} * thin(rank));
        for (std::size_t j = 0; j < pair_.columns; ++j)
            for (std::size_t c = 0; c < rank; ++c) v[j * thin(rank) + c] = static_cast<float>(r.v[j * r.rank + c]);
        return adopt(std::move(v), rank, rank);
    }
    Status least_squares(unsigned times, std::size_t stride) {
        for (unsigned i = 0; i < times; ++i, model_ *= 0.6f) {
            orthonormalize(v_, pair_.columns, k_, rank_);
            TENPAK_RETURN_IF_ERROR(fit_lines(observed_.rows, v_, k_, rank_, model_, 0, stride, pool_, ctx_, u_));
            orthonormalize(u_, pair_.rows, k_, rank_);
            TENPAK_RETURN_IF_ERROR(fit_lines(observed_.columns, u_, k_, rank_, model_, 0, stride, pool_, ctx_, v_));
        }
        return {};
    }
    Status into_cells(unsigned times) {
        const auto cell = static_cast<float>(kCell * subspace_.noise);
        for (unsigned i = 0; i < times; ++i, model_ *= 0.6f) {
            TENPAK_RETURN_IF_ERROR(fit_lines(observed_.rows, v_, k_, rank_, model_, cell, 1, pool_, ctx_, u_));
            TENPAK_RETURN_IF_ERROR(fit_lines(observed_.columns, u_, k_, rank_, model_, cell, 1, pool_, ctx_, v_));
        }
        return {};
    }
    RealFactors real() const { return balance(u_, v_, k_, rank_, pair_.rows, pair_.columns); }

 private:
    Status adopt(std::vector<float>&& v, std::uint32_t known, std::uint32_t rank) {
        k_ = thin(rank);
        rank_ = rank;
        std::mt19937_64 random(rank);
        for (std::size_t j = 0; j < pair_.columns; ++j)
            for (std::size_t c = known; c < rank; ++c)
                v[j * k_ + c] = static_cast<float>(static_cast<double>(random() >> 11) * 0x1p-53 - 0.5);
        v_ = std::move(v);
        u_.clear();
        // What the directions are wrong by, as far as rounding is to blame, in units of the rounding error.
        model_ = static_cast<float>(0.3 * std::sqrt(rank * (1.0 / pair_.rows + 1.0 / pair_.columns)));
        const std::size_t wanted = std::max<std::size_t>(std::min<std::size_t>(16 * rank, 256), 6 * rank);
        if (wanted <= wanted_) return {};
        wanted_ = wanted;
        TENPAK_ASSIGN(observed_, gather(pair_, subspace_, std::min<std::size_t>(wanted, pair_.columns),
                                        std::min<std::size_t>(wanted, pair_.rows), threads_, ctx_));
        return {};
    }

    const MatrixPair& pair_;
    const Subspace& subspace_;
    unsigned threads_;
    const JobContext& ctx_;
    ThreadPool pool_;
    std::uint32_t rank_ = 0;
    std::size_t k_ = 0, wanted_ = 0;
    std::vector<float> u_, v_;
    Gathered observed_;
    float model_ = 0;
};

Result<std::optional<Recovered>> recover(const MatrixPair& pair, const RecoverOptions& options, const JobContext& ctx) {
    const unsigned threads = options.threads == 0 ? usable_cpus() : options.threads;
    const std::uint32_t least_side = std::min(pair.rows, pair.columns),
                        most_rank = std::min({options.max_rank, least_side / 2, kMaxFactorRank});
    if (most_rank == 0) return std::optional<Recovered>{};
    std::uint32_t expected = options.expected_rank;
    if (expected == 0) {
        TENPAK_ASSIGN(const LowRankScreen screen, screen_low_rank(pair, ctx));
        if (screen.rank == 0) return std::optional<Recovered>{};
        expected = screen.rank;
    }
    Subspace s;
    std::uint32_t rank = 0;
    // fp32 is rounded so finely that everything stands above its noise: no limit there.
    const std::uint32_t limit = pair.kind == FloatKind::kFp32 ? most_rank : std::min(most_rank, std::max<std::uint32_t>(40, 4 * expected));
    for (std::uint32_t guess = std::min(expected + 4, limit);;) {
        TENPAK_ASSIGN(s, find_subspace(pair, guess, 3, threads, ctx));
        rank = 0;
        while (rank < s.singular.size() && s.singular[rank] > kAboveEdge * s.edge) ++rank;
        if (rank + 2 < s.singular.size()) break;
        // No floor below four times what the screen saw: the difference is a full fine-tune's, and looking on costs more
        // than encoding it.
        if (guess >= limit) return std::optional<Recovered>{};
        guess = std::min(limit, 2 * guess);
    }
    if (s.changed == 0) return std::optional<Recovered>{};
    rank = std::min(rank, most_rank);
    double explained = 0;
    for (std::size_t c = 0; c < rank; ++c) explained += s.singular[c] * s.singular[c];
    const double weights = static_cast<double>(pair.rows) * pair.columns;
    s.left = std::sqrt(std::max(0.0, s.difference * s.difference - explained / weights));

    Fit fit(pair, s, threads, ctx);
    TENPAK_RETURN_IF_ERROR(fit.start(std::min(rank + kSpare, most_rank)));
    RealFactors real;
    for (;;) {
        TENPAK_RETURN_IF_ERROR(fit.least_squares(2, kWideStride));
        real = fit.real();
        // Noise is flat, components that fade are not.
        const std::size_t n = real.rank, middle = n > kSpare / 2 ? n - 1 - kSpare / 2 : n - 1;
        const bool flat = n > kSpare / 2 && real.singular[middle] < kFlat * real.singular.back() &&
                          real.singular.back() < kNoiseBelow * s.edge;
        rank = 0;
        while (rank < n &&
               real.singular[rank] > (flat ? kAboveFloor * real.singular[middle] : kFlat * real.singular.back()))
            ++rank;
        if (flat || n == most_rank) break;
        if (n >= limit + kSpare) return std::optional<Recovered>{};
        TENPAK_RETURN_IF_ERROR(fit.widen(std::min({most_rank, limit + kSpare, fit.rank() + std::max(kSpare, fit.rank() / 2)})));
    }
    if (rank == 0) return std::optional<Recovered>{};
    TENPAK_RETURN_IF_ERROR(fit.narrow(real, rank));
    TENPAK_RETURN_IF_ERROR(fit.least_squares(3, 1));
    TENPAK_RETURN_IF_ERROR(fit.into_cells(2));
    TENPAK_ASSIGN(const Sample sample, take_sample(pair));
    real = fit.real();
    auto best = choose_precision(pair, sample, real, s.noise, ctx);
    TENPAK_RETURN_IF_ERROR(ctx.check());
    if (best && best->factor_bits + best->residual_bits >= best->difference_bits) best.reset();
    return best;
}

}  // namespace

std::optional<MatrixPair> matrix_pair(const ModelSource& base, const TensorInfo& base_tensor,
                                      const ModelSource& fine_tune, const TensorInfo& tensor) {
    const auto kind = float_kind(tensor.dtype);
    if (!kind || base_tensor.dtype != tensor.dtype || base_tensor.shape != tensor.shape || tensor.shape.size() < 2)
        return std::nullopt;
    const std::uint64_t rows = tensor.shape[0], all = tensor.elements();
    if (rows == 0 || all == 0 || rows > 0xffffffffu || all / rows > 0xffffffffu) return std::nullopt;
    MatrixPair p;
    p.rows = static_cast<std::uint32_t>(rows);
    p.columns = static_cast<std::uint32_t>(all / rows);
    p.kind = *kind;
    p.read = [&base, &base_tensor, &fine_tune, &tensor](std::uint64_t offset, std::span<std::byte> b,
                                                        std::span<std::byte> f) -> Status {
        TENPAK_RETURN_IF_ERROR(base.read(base_tensor, offset, b));
        return fine_tune.read(tensor, offset, f);
    };
    return p;
}

Result<std::optional<Recovered>> recover_low_rank(const MatrixPair& pair, const RecoverOptions& options,
                                                  const JobContext& ctx) {
    try {
        return recover(pair, options, ctx);
    } catch (const std::bad_alloc&) {
        return make_error(ErrorCode::kOutOfMemory, "not enough memory to look for an adapter in a tensor");
    }
}

}  // namespace tenpak::delta

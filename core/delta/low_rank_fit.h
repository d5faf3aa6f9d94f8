// SPDX-License-Identifier: Apache-2.0
// The steps of low-rank recovery (low_rank_recover.h), in single precision.
#pragma once
#include <array>
#include <cstdint>
#include <functional>
#include <optional>
#include <vector>

#include "core/base/job_context.h"
#include "core/base/thread_pool.h"
#include "core/delta/low_rank_recover.h"

namespace tenpak::delta {

/// Biased exponent of a weight's bits.
inline unsigned exponent_of(std::uint32_t bits, FloatKind kind) {
    return kind == FloatKind::kBf16   ? bits >> 7 & 0xffu
           : kind == FloatKind::kFp16 ? bits >> 10 & 0x1fu
                                      : bits >> 23 & 0xffu;
}
inline unsigned mantissa_of(FloatKind kind) {
    return kind == FloatKind::kBf16 ? 7u : kind == FloatKind::kFp16 ? 10u : 23u;
}
/// Unit in the last place of a weight with that exponent.
float unit_of(unsigned exponent, FloatKind kind);
inline std::uint32_t weight_bits(const std::byte* p, std::size_t i, FloatKind kind) {
    return kind == FloatKind::kFp32 ? load_weight<std::uint32_t>(p, i) : load_weight<std::uint16_t>(p, i);
}
inline std::size_t weight_width(FloatKind kind) { return kind == FloatKind::kFp32 ? 4 : 2; }

/// Rows worked on together: their differences stay in the second-level cache.
std::uint32_t rows_together(const MatrixPair& pair);
/// One block of rows as bytes.
struct RowBlock {
    std::uint32_t first = 0, rows = 0;
    Bytes base, fine_tune;
    std::vector<float> difference;  ///< [rows][columns]
};
Result<RowBlock> read_rows(const MatrixPair& pair, std::uint32_t first, std::uint32_t rows);

/// What a pass over the whole matrix finds.
struct Subspace {
    std::size_t k = 0;                     ///< padded width
    std::vector<float> v;                  ///< [columns][k], orthonormal, by falling singular value
    std::vector<double> singular;          ///< [k]
    double noise = 0;                      ///< rms of the rounding error of one weight
    double difference = 0;                 ///< rms of fine-tune - base
    double left = 0;                       ///< rms of what the components above the edge leave
    double edge = 0;                       ///< largest singular value that rounding alone makes
    std::uint64_t changed = 0;             ///< weights that differ
    std::vector<std::uint64_t> exponents;  ///< [256] of the fine-tune's weights
    std::vector<std::array<std::uint32_t, 256>> column_counts;  ///< [columns]: exponents of every fourth row
};
/// `passes` steps of randomised subspace iteration with `rank` columns (padded up).
Result<Subspace> find_subspace(const MatrixPair& pair, std::uint32_t rank, unsigned passes, unsigned threads,
                               const JobContext& ctx);

/// The weights of each row (or column) that tell most about the product: those with the finest rounding.
struct Observations {
    std::size_t lines = 0, capacity = 0;
    std::vector<std::uint32_t> count;  ///< [lines]
    std::vector<std::uint32_t> index;  ///< [lines][capacity]: the other coordinate
    std::vector<float> value, weight;  ///< difference; 1 / expected error, relative
    void allocate(std::size_t n, std::size_t most) {
        lines = n;
        capacity = most;
        count.assign(n, 0);
        index.resize(n * most);
        value.resize(n * most);
        weight.resize(n * most);
    }
};
struct Gathered {
    Observations rows, columns;
};
Result<Gathered> gather(const MatrixPair& pair, const Subspace& s, std::size_t per_row, std::size_t per_column,
                        unsigned threads, const JobContext& ctx);

/// Weighted least squares for every line given the other side (low_rank_math.h: LineFit).
Status fit_lines(const Observations& o, const std::vector<float>& other, std::size_t k, std::uint32_t rank, float model,
                 float cell, std::size_t stride, ThreadPool& pool, const JobContext& ctx, std::vector<float>& out);

/// Bits a weight that residuals take where the prediction's error is normal with this standard deviation.
double low_rank_residual_rate(const std::array<std::uint64_t, 256>& exponents, FloatKind kind, double error);

struct RealFactors {
    std::uint32_t rows = 0, columns = 0, rank = 0;
    std::vector<double> u, v;      ///< [rows][rank], [columns][rank]: columns orthogonal, both of size sqrt(singular)
    std::vector<double> singular;  ///< [rank], falling
};
/// The same product u v^T in the form of a singular value decomposition.
RealFactors balance(const std::vector<float>& u, const std::vector<float>& v, std::size_t k, std::uint32_t rank,
                    std::uint32_t rows, std::uint32_t columns);
/// Makes the columns of x[n][k] (the first `rank`) orthonormal.
void orthonormalize(std::vector<float>& x, std::size_t n, std::size_t k, std::uint32_t rank);

/// Rounds to integers so that each component adds the same error, `step` in all (absolute, rms of the product's error
/// about step / sqrt(6)). No value where a number would not fit 16 bits.
std::optional<Factors> quantize(const RealFactors& r, double step);
/// Bits that factors_encode takes, about.
double factor_bits(const Factors& f);

/// Rows kept to measure what a prediction leaves.
struct Sample {
    std::vector<std::uint32_t> rows;
    Bytes base, fine_tune;
};
Result<Sample> take_sample(const MatrixPair& pair);
/// rms of the rounding error that the sample's weights must have.
double rounding_noise(const Sample& s, const MatrixPair& pair);
/// The integer factors that make factors and residual smallest together; none where the product would need more than 16
/// bits.
std::optional<Recovered> choose_precision(const MatrixPair& pair, const Sample& sample, const RealFactors& real,
                                          double noise, const JobContext& ctx);
/// Entropy of the residual given the keys, with what the tables cost, in bits for all of the sample. Sets nothing.
struct ResidualCost {
    double bits = 0;
    double difference_bits = 0;  ///< of the plain difference from the base, given the base's exponent
    std::uint64_t wrong = 0;     ///< weights predicted wrongly
};
ResidualCost residual_cost(const Sample& s, const MatrixPair& pair, const Factors& f);

}  // namespace tenpak::delta

// SPDX-License-Identifier: Apache-2.0
// Whether a difference is of low rank, from a small piece of it, and what it would then take.
#include <Eigen/Dense>
#include <algorithm>
#include <array>
#include <cmath>

#include "core/delta/low_rank_fit.h"
#include "core/delta/low_rank_math.h"
#include "core/delta/low_rank_recover.h"

namespace tenpak::delta {

namespace {

using Matrix = Eigen::Matrix<double, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;

/// Rows and columns of different scales make singular values somewhat above the edge that equal ones would have.
constexpr double kAboveEdge = 1.25;

struct Sketch {
    std::size_t rows = 0, columns = 0;
    std::vector<double> singular;  ///< of the piece, falling
    double noise = 0;              ///< mean square of the rounding error that its weights must have
    double difference = 0;         ///< mean square of the difference, of rows that changed
    double changed_rows = 1;       ///< share of the rows; `rows` counts these alone
    std::size_t weights = 0;       ///< looked at
    std::uint64_t changed = 0;
    std::array<std::uint64_t, 256> exponents{};
};

/// `rows` rows spread over the matrix, of each the same `columns` columns in two runs.
Result<Sketch> sketch(const MatrixPair& pair, std::size_t rows, std::size_t columns) {
    Sketch s;
    s.rows = rows = std::min<std::size_t>(rows, pair.rows);
    s.columns = columns = std::min<std::size_t>(columns, pair.columns);
    const std::size_t width = weight_width(pair.kind), first = columns / 2, gap = pair.columns - columns;
    Bytes base(columns * width), fine_tune(columns * width);
    std::vector<float> d(columns);
    Matrix m(static_cast<Eigen::Index>(rows), static_cast<Eigen::Index>(columns));
    for (std::size_t i = 0; i < rows; ++i) {
        const std::uint64_t row = (2 * i + 1) * pair.rows / (2 * rows), begin = (row * pair.columns + gap / 3) * width;
        const std::size_t run[2] = {first, columns - first};
        std::size_t at = 0;
        for (int k = 0; k < 2; ++k) {
            if (run[k] == 0) continue;
            const std::uint64_t from = begin + (k == 0 ? 0 : (gap / 3 + first) * width);
            TENPAK_RETURN_IF_ERROR(pair.read(from, std::span(base).subspan(at * width, run[k] * width),
                                             std::span(fine_tune).subspan(at * width, run[k] * width)));
            at += run[k];
        }
        subtract_weights(base.data(), fine_tune.data(), columns, pair.kind, d.data());
        for (std::size_t j = 0; j < columns; ++j) {
            m(static_cast<Eigen::Index>(i), static_cast<Eigen::Index>(j)) = static_cast<double>(d[j]);
            s.changed += d[j] != 0 ? 1 : 0;
            ++s.exponents[exponent_of(weight_bits(fine_tune.data(), j, pair.kind), pair.kind)];
        }
    }
    const auto n = static_cast<double>(rows * columns);
    for (unsigned e = 0; e < 256; ++e) {
        if (s.exponents[e] == 0 || e == (pair.kind == FloatKind::kFp16 ? 31u : 255u)) continue;
        const auto unit = static_cast<double>(unit_of(e, pair.kind));
        s.noise += static_cast<double>(s.exponents[e]) * unit * unit / 12 / n;
    }
    s.difference = m.squaredNorm() / n;
    s.weights = rows * columns;
    if (s.changed == 0) return s;
    const double scale = 1 / std::sqrt(s.difference);  // squares of tiny numbers would lose digits
    m *= scale;
    // Rows that did not change would make the others' noise look like a signal.
    Eigen::Index kept = 0;
    for (Eigen::Index i = 0; i < m.rows(); ++i) {
        if (m.row(i).squaredNorm() == 0) continue;
        if (kept != i) m.row(kept) = m.row(i);
        ++kept;
    }
    const double share = static_cast<double>(kept) / static_cast<double>(rows);
    m.conservativeResize(kept, Eigen::NoChange);
    s.rows = rows = static_cast<std::size_t>(kept);
    s.difference /= share;
    s.changed_rows = share;
    const Matrix gram = rows < columns ? Matrix(m * m.transpose()) : Matrix(m.transpose() * m);
    const Eigen::SelfAdjointEigenSolver<Eigen::MatrixXd> eigen(Eigen::MatrixXd(gram), Eigen::EigenvaluesOnly);
    for (Eigen::Index i = eigen.eigenvalues().size(); i-- > 0;)
        s.singular.push_back(std::sqrt(std::max(0.0, eigen.eigenvalues()(i))) / scale);
    return s;
}

/// Components that stand out of the noise that the others show; the others' mean square per weight.
std::size_t components(const Sketch& s, double& left) {
    const std::size_t least = s.singular.size();
    std::size_t r = 0;
    for (int i = 0; i < 20; ++i) {
        double rest = 0;
        for (std::size_t c = r; c < least; ++c) rest += s.singular[c] * s.singular[c];
        left = rest / (static_cast<double>(s.rows - r) * static_cast<double>(s.columns - r));
        const double edge = std::sqrt(left) * (std::sqrt(static_cast<double>(s.rows - r)) +
                                               std::sqrt(static_cast<double>(s.columns - r)));
        std::size_t more = r;
        while (more < least * 2 / 3 && s.singular[more] > kAboveEdge * edge) ++more;
        if (more == r) break;
        r = more;
    }
    return r;
}

/// Entropy of a residual in bits where the prediction's error is normal, `x` units in the last place, and the distance
/// to the rounding boundaries is known.
double residual_rate(double x) {
    if (x < 0.004) return 2.6 * x;
    if (x > 3) return std::log2(4.1327 * x);
    constexpr int kPlaces = 24;
    double h = 0;
    for (int i = 0; i < kPlaces; ++i) {
        // Places are denser near the boundary, where all the entropy is when x is small.
        const double q = (i + 0.5) / kPlaces, place = 0.5 * q * q * q, weight = 3 * q * q / kPlaces;
        double below = 0;
        const int reach = static_cast<int>(std::ceil(5 * x)) + 1;
        for (int v = -reach; v <= reach; ++v) {
            const double upto = 0.5 * std::erfc(-((v + 1) - place) / (x * std::sqrt(2.0))), p = upto - below;
            below = upto;
            if (p > 1e-12) h -= weight * p * std::log2(p);
        }
    }
    return h;
}

}  // namespace

double low_rank_residual_rate(const std::array<std::uint64_t, 256>& exponents, FloatKind kind, double error) {
    double bits = 0, n = 0;
    for (unsigned e = 0; e < 256; ++e) {
        if (exponents[e] == 0 || e == (kind == FloatKind::kFp16 ? 31u : 255u)) continue;
        n += static_cast<double>(exponents[e]);
        bits += static_cast<double>(exponents[e]) * residual_rate(error / static_cast<double>(unit_of(e, kind)));
    }
    return n > 0 ? bits / n : 0;
}

Result<LowRankScreen> screen_low_rank(const MatrixPair& pair, const JobContext& ctx) {
    LowRankScreen result;
    TENPAK_RETURN_IF_ERROR(ctx.check());
    const std::size_t least_side = std::min(pair.rows, pair.columns);
    if (least_side < 16) return result;
    for (const std::size_t side : {96u, 256u}) {
        if (side > 96 && least_side < 1024) break;
        TENPAK_ASSIGN(const Sketch s, sketch(pair, 2 * side, side));
        result.changed_fraction = static_cast<double>(s.changed) / static_cast<double>(s.weights);
        if (s.changed == 0) return result;
        double left = 0;
        const std::size_t r = components(s, left);
        // Rounding the product to bf16 before it is added makes an error of its own.
        const double rounding = s.noise + s.difference * 0x1p-16 / 12;
        if (r == 0 || r >= std::min(s.rows, s.columns) * 3 / 5 || left > 1.35 * rounding) {
            TENPAK_RETURN_IF_ERROR(ctx.check());
            continue;
        }
        result.rank = static_cast<std::uint32_t>(r);
        // What it takes: the precision of the integers is chosen as recovery does, for the whole matrix.
        const auto rows = static_cast<double>(pair.rows), columns = static_cast<double>(pair.columns),
                   weights = rows * columns;
        const double grow = std::sqrt(weights / static_cast<double>(s.weights)), noise = std::sqrt(s.noise);
        const double fitted = 0.08 * noise * std::sqrt(static_cast<double>(r) * (1 / rows + 1 / columns));
        double best = 1e300;
        for (double t = 0.0005; t < 2; t *= std::sqrt(2.0)) {
            double factors = 8 * 80;
            for (std::size_t c = 0; c < r; ++c) {
                const double observed = s.singular[c] * s.singular[c] - left * static_cast<double>(s.rows + s.columns);
                const double size = std::sqrt(std::max(observed, 0.05 * s.singular[c] * s.singular[c])) * grow /
                                    std::sqrt(weights);  // rms of its product
                const double u = size / (t * noise * std::sqrt(2 * rows / (rows + columns))),
                             v = size / (t * noise * std::sqrt(2 * columns / (rows + columns)));
                factors += 22 + s.changed_rows * rows * std::max(0.3, std::log2(4.1327 * u)) +
                           columns * std::max(0.3, std::log2(4.1327 * v));
            }
            const double error = std::sqrt(t * t * noise * noise / 6 * static_cast<double>(r) + fitted * fitted);
            const double total = factors + weights * low_rank_residual_rate(s.exponents, pair.kind, error);
            best = std::min(best, total);
        }
        result.stored_bits = best;
        result.low_bits = 0.85 * best;
        result.high_bits = 1.2 * best;
        return result;
    }
    return result;
}

}  // namespace tenpak::delta

// SPDX-License-Identifier: Apache-2.0
#include <Eigen/Dense>
#include <algorithm>
#include <array>
#include <cmath>
#include <memory>
#include <random>

#include "core/delta/low_rank_fit.h"
#include "core/delta/low_rank_math.h"

namespace tenpak::delta {

namespace {

constexpr std::size_t kBlockWeights = 1u << 18;

using Matrix = Eigen::Matrix<double, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
using MatrixF = Eigen::Matrix<float, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;

Eigen::Index at(std::size_t i) { return static_cast<Eigen::Index>(i); }

/// What one block adds to a pass.
struct Partial {
    std::vector<float> z;  // [columns][k]
    Matrix gram;           // y^T y
    std::array<std::uint64_t, 256> exponents{};
    std::vector<std::uint8_t> column_exponents;  // of some rows, [rows taken][columns]
    std::uint64_t changed = 0;
    double squares = 0;
};

}  // namespace

float unit_of(unsigned exponent, FloatKind kind) {
    const int m = static_cast<int>(mantissa_of(kind)), bias = kind == FloatKind::kFp16 ? 15 : 127;
    return static_cast<float>(std::ldexp(1.0, static_cast<int>(std::max(exponent, 1u)) - bias - m));
}

std::uint32_t rows_together(const MatrixPair& pair) {
    const std::size_t n = kBlockWeights / pair.columns;
    return static_cast<std::uint32_t>(std::clamp<std::size_t>(n / 24 * 24, 24, std::max<std::size_t>(24, pair.rows)));
}

Result<RowBlock> read_rows(const MatrixPair& pair, std::uint32_t first, std::uint32_t rows) {
    RowBlock b;
    b.first = first;
    b.rows = rows;
    const std::size_t n = std::size_t{rows} * pair.columns, bytes = n * weight_width(pair.kind);
    b.base.resize(bytes);
    b.fine_tune.resize(bytes);
    TENPAK_RETURN_IF_ERROR(
        pair.read(std::uint64_t{first} * pair.columns * weight_width(pair.kind), b.base, b.fine_tune));
    b.difference.resize(n);
    subtract_weights(b.base.data(), b.fine_tune.data(), n, pair.kind, b.difference.data());
    return b;
}

void orthonormalize(std::vector<float>& x, std::size_t n, std::size_t k, std::uint32_t rank) {
    Eigen::Map<MatrixF, 0, Eigen::OuterStride<>> map(x.data(), at(n), at(rank), Eigen::OuterStride<>(at(k)));
    Matrix m = map.cast<double>();
    for (int twice = 0; twice < 2; ++twice) {  // Cholesky QR loses half the digits; the second one brings them back
        for (Eigen::Index c = 0; c < m.cols(); ++c) {
            const double norm = m.col(c).norm();
            if (norm > 0) m.col(c) /= norm;
        }
        Matrix g = m.transpose() * m;
        g.diagonal().array() += 1e-12;
        const Eigen::LLT<Matrix> llt(g);
        llt.matrixU().solveInPlace<Eigen::OnTheRight>(m);
    }
    map = m.cast<float>();
}

Result<Subspace> find_subspace(const MatrixPair& pair, std::uint32_t rank, unsigned passes, unsigned threads,
                               const JobContext& ctx) {
    Subspace s;
    s.k = thin(rank);
    const std::size_t k = s.k, columns = pair.columns;
    std::mt19937_64 random(20260407);
    s.v.resize(columns * k);
    for (float& x : s.v) x = static_cast<float>(static_cast<double>(random() >> 11) * 0x1p-53 - 0.5);
    const auto width = static_cast<std::uint32_t>(std::min<std::size_t>(k, std::min(pair.rows, pair.columns)));
    orthonormalize(s.v, columns, k, width);
    for (std::size_t j = 0; j < columns; ++j)
        std::fill(s.v.begin() + static_cast<std::ptrdiff_t>(j * k + width),
                  s.v.begin() + static_cast<std::ptrdiff_t>((j + 1) * k), 0.0f);
    const std::uint32_t step = rows_together(pair);
    const std::size_t blocks = (pair.rows + step - 1) / step;
    s.exponents.assign(256, 0);
    std::vector<std::array<std::uint32_t, 256>> column_count(columns);
    double squares = 0;
    Matrix gram;
    for (unsigned pass = 0; pass < passes; ++pass) {
        std::vector<float> z(columns * k);
        gram = Matrix::Zero(at(k), at(k));
        const std::function<Result<Partial>(std::size_t)> work = [&](std::size_t i) -> Result<Partial> {
            const auto first = static_cast<std::uint32_t>(i * step);
            TENPAK_ASSIGN(RowBlock b, read_rows(pair, first, std::min(step, pair.rows - first)));
            Partial p;
            const std::size_t n = std::size_t{b.rows} * columns;
            if (pass == 0) {
                std::array<std::array<std::uint32_t, 256>, 4>
                    count{};  // four, so that equal neighbours do not wait for each other
                for (std::size_t w = 0; w < n; ++w)
                    ++count[w % 4][exponent_of(weight_bits(b.fine_tune.data(), w, pair.kind), pair.kind)];
                for (std::size_t e = 0; e < 256; ++e)
                    p.exponents[e] = std::uint64_t{count[0][e]} + count[1][e] + count[2][e] + count[3][e];
                for (const float d : b.difference) {
                    p.changed += d != 0 ? 1 : 0;
                    p.squares += static_cast<double>(d) * static_cast<double>(d);
                }
                for (std::size_t r = 0; r < b.rows; r += 4)
                    for (std::size_t j = 0; j < columns; ++j)
                        p.column_exponents.push_back(static_cast<std::uint8_t>(
                            exponent_of(weight_bits(b.fine_tune.data(), r * columns + j, pair.kind), pair.kind)));
            }
            std::vector<float> y(b.rows * k);
            multiply(b.difference.data(), b.rows, columns, s.v.data(), k, y.data());
            const Eigen::Map<const MatrixF> ym(y.data(), at(b.rows), at(k));
            const Matrix yd = ym.cast<double>();
            p.gram = yd.transpose() * yd;
            p.z.resize(columns * k);
            multiply_transposed_add(b.difference.data(), b.rows, columns, y.data(), k, p.z.data());
            return p;
        };
        const std::function<Status(std::size_t, Partial &&)> sink = [&](std::size_t, Partial&& p) -> Status {
            for (std::size_t i = 0; i < z.size(); ++i) z[i] += p.z[i];
            gram += p.gram;
            if (pass != 0) return {};
            for (std::size_t e = 0; e < 256; ++e) s.exponents[e] += p.exponents[e];
            s.changed += p.changed;
            squares += p.squares;
            for (std::size_t i = 0; i < p.column_exponents.size(); ++i)
                ++column_count[i % columns][p.column_exponents[i]];
            return {};
        };
        TENPAK_RETURN_IF_ERROR((parallel_ordered<Partial>(blocks, threads, threads, ctx, work, sink)));
        if (pass + 1 == passes) break;
        s.v = std::move(z);
        orthonormalize(s.v, columns, k, width);
    }
    // Rotate to the singular vectors that the last pass saw.
    const Eigen::SelfAdjointEigenSolver<Eigen::MatrixXd> eigen{Eigen::MatrixXd(gram)};
    Matrix rotation(at(k), at(k));
    for (std::size_t c = 0; c < k; ++c) {
        rotation.col(at(c)) = eigen.eigenvectors().col(at(k - 1 - c));
        s.singular.push_back(std::sqrt(std::max(0.0, eigen.eigenvalues()(at(k - 1 - c)))));
    }
    Eigen::Map<MatrixF> v(s.v.data(), at(columns), at(k));
    v = (v.cast<double>() * rotation).cast<float>().eval();
    const double n = static_cast<double>(pair.rows) * static_cast<double>(columns);
    double noise = 0;
    for (unsigned e = 0; e < 256; ++e) {
        if (s.exponents[e] == 0 || (pair.kind != FloatKind::kFp16 ? e == 255 : e == 31)) continue;
        noise += static_cast<double>(s.exponents[e]) * static_cast<double>(unit_of(e, pair.kind)) *
                 static_cast<double>(unit_of(e, pair.kind)) / 12;
    }
    s.noise = std::sqrt(noise / n);
    s.difference = std::sqrt(squares / n);
    s.edge = s.noise * (std::sqrt(static_cast<double>(pair.rows)) + std::sqrt(static_cast<double>(columns)));
    s.column_counts = std::move(column_count);
    return s;
}

Result<Gathered> gather(const MatrixPair& pair, const Subspace& s, std::size_t per_row, std::size_t per_column,
                        unsigned threads, const JobContext& ctx) {
    Gathered g;
    g.rows.allocate(pair.rows, per_row);
    g.columns.allocate(pair.columns, per_column);
    const std::size_t columns = pair.columns;
    // A column takes all weights below its limit and a share of those at it.
    std::vector<std::uint8_t> limit(columns);
    std::vector<std::uint16_t> share(columns);  // of 65535
    for (std::size_t j = 0; j < columns; ++j) {
        const double wanted = static_cast<double>(per_column) * 0.97 / 4;  // every fourth row was counted
        double below = 0;
        unsigned e = 0;
        for (; e < 255; ++e) {
            if (below + s.column_counts[j][e] >= wanted) break;
            below += s.column_counts[j][e];
        }
        limit[j] = static_cast<std::uint8_t>(e);
        const double here = s.column_counts[j][e];
        share[j] = static_cast<std::uint16_t>(here > 0 ? std::clamp((wanted - below) / here, 0.0, 1.0) * 65535 : 65535);
    }
    std::array<float, 256> weight{};
    // The product's own rounding, where it was rounded to the weights' type, or in fp32 where more is left than
    // rounding leaves.
    const bool rounded_product =
        pair.kind == FloatKind::kBf16 || (pair.kind == FloatKind::kFp32 && s.left > 2 * s.noise);
    const double floor = s.difference * (rounded_product ? 0x1p-8 : pair.kind == FloatKind::kFp16 ? 0x1p-11 : 0x1p-24);
    for (unsigned e = 0; e < 256; ++e) {
        if (pair.kind == FloatKind::kFp16 && e > 31) break;
        const double unit = static_cast<double>(unit_of(e, pair.kind));
        weight[e] = static_cast<float>(s.noise / std::sqrt((unit * unit + floor * floor) / 12));
    }
    weight[pair.kind == FloatKind::kFp16 ? 31 : 255] = 0;
    const std::uint32_t step = rows_together(pair);
    const std::size_t blocks = (pair.rows + step - 1) / step;
    struct Taken {
        std::uint32_t column, row;
        float value, weight;
    };
    const std::function<Result<std::vector<Taken>>(std::size_t)> work =
        [&](std::size_t i) -> Result<std::vector<Taken>> {
        const auto first = static_cast<std::uint32_t>(i * step);
        TENPAK_ASSIGN(RowBlock b, read_rows(pair, first, std::min(step, pair.rows - first)));
        std::vector<Taken> taken;
        std::vector<std::uint8_t> e(columns);
        for (std::uint32_t r = 0; r < b.rows; ++r) {
            const std::size_t row = std::size_t{first} + r;
            const std::byte* ft = b.fine_tune.data() + r * columns * weight_width(pair.kind);
            const float* d = b.difference.data() + r * columns;
            std::array<std::array<std::uint32_t, 256>, 2> count{};
            for (std::size_t j = 0; j < columns; ++j) {
                e[j] = static_cast<std::uint8_t>(exponent_of(weight_bits(ft, j, pair.kind), pair.kind));
                ++count[j % 2][e[j]];
            }
            std::size_t below = 0;
            unsigned top = 0;
            for (; top < 256; ++top) {
                const std::size_t here = std::size_t{count[0][top]} + count[1][top];
                if (below + here >= per_row) break;
                below += here;
            }
            // Of those at the limit, evenly spread ones.
            const std::size_t here = top < 256 ? std::size_t{count[0][top]} + count[1][top] : 1, room = per_row - below;
            std::size_t phase = (row * 2654435761u) % std::max<std::size_t>(here, 1), n = 0;
            std::uint32_t* index = g.rows.index.data() + row * per_row;
            float* value = g.rows.value.data() + row * per_row;
            float* w = g.rows.weight.data() + row * per_row;
            std::uint32_t hash = static_cast<std::uint32_t>(row) * 2654435761u + 12345u;
            for (std::size_t j = 0; j < columns; ++j) {
                bool take = e[j] < top;
                if (e[j] == top) {
                    phase += room;
                    if (phase >= here) {
                        phase -= here;
                        take = true;
                    }
                }
                if (take && n < per_row) {
                    index[n] = static_cast<std::uint32_t>(j);
                    value[n] = d[j];
                    w[n] = weight[e[j]];
                    ++n;
                }
                if (e[j] > limit[j]) continue;
                hash = hash * 1664525u + 1013904223u;
                if (e[j] < limit[j] || hash >> 16 <= share[j])
                    taken.push_back(
                        {static_cast<std::uint32_t>(j), static_cast<std::uint32_t>(row), d[j], weight[e[j]]});
            }
            g.rows.count[row] = static_cast<std::uint32_t>(n);
        }
        return taken;
    };
    const std::function<Status(std::size_t, std::vector<Taken> &&)> sink = [&](std::size_t,
                                                                               std::vector<Taken>&& all) -> Status {
        Observations& o = g.columns;
        for (const Taken& t : all) {
            std::uint32_t& n = o.count[t.column];
            if (n == per_column) continue;
            const std::size_t to = t.column * per_column + n++;
            o.index[to] = t.row;
            o.value[to] = t.value;
            o.weight[to] = t.weight;
        }
        return {};
    };
    TENPAK_RETURN_IF_ERROR((parallel_ordered<std::vector<Taken>>(blocks, threads, threads, ctx, work, sink)));
    return g;
}

Status fit_lines(const Observations& o, const std::vector<float>& other, std::size_t k, std::uint32_t rank, float model,
                 float cell, std::size_t stride, ThreadPool& pool, const JobContext& ctx, std::vector<float>& out) {
    if (cell == 0) out.assign(o.lines * k, 0.0f);
    constexpr std::size_t kLines = 16;
    std::vector<std::vector<float>> scratch(pool.size());
    return pool.try_parallel_for(
        (o.lines + kLines - 1) / kLines, ctx, [&](std::size_t chunk, unsigned worker) -> Status {
            scratch[worker].resize(line_scratch(o.capacity, k));
            for (std::size_t line = chunk * kLines; line < std::min(o.lines, (chunk + 1) * kLines); ++line) {
                const std::size_t from = line * o.capacity;
                fit_line({o.count[line], stride, o.index.data() + from, o.value.data() + from, o.weight.data() + from,
                          other.data(), k, rank, model, cell, out.data() + line * k, scratch[worker].data()});
            }
            return {};
        });
}

RealFactors balance(const std::vector<float>& u, const std::vector<float>& v, std::size_t k, std::uint32_t rank,
                    std::uint32_t rows, std::uint32_t columns) {
    using Stride = Eigen::OuterStride<>;
    const Eigen::Map<const MatrixF, 0, Stride> um(u.data(), at(rows), at(rank), Stride(at(k))),
        vm(v.data(), at(columns), at(rank), Stride(at(k)));
    const Matrix ud = um.cast<double>(), vd = vm.cast<double>();
    // ud = qu ru, vd = qv rv by Cholesky.
    const auto triangle = [](const Matrix& m) {
        Eigen::MatrixXd g = m.transpose() * m;
        g.diagonal().array() += g.trace() * 1e-14 + 1e-300;
        return Eigen::MatrixXd(Eigen::LLT<Eigen::MatrixXd>(g).matrixU());
    };
    const Eigen::MatrixXd ru = triangle(ud), rv = triangle(vd);
    // Singular values and left vectors from the eigenvalues of the small product; whatever their error, a b^T below is ru^-1 rv^-T
    // of ru rv^T exactly, since the left vectors are orthogonal.
    const Eigen::MatrixXd core = ru * rv.transpose();
    const Eigen::SelfAdjointEigenSolver<Eigen::MatrixXd> eigen(core * core.transpose());
    const Eigen::Index n = core.rows();
    Eigen::MatrixXd left(n, n), right(n, n);
    Eigen::VectorXd singular(n);
    for (Eigen::Index c = 0; c < n; ++c) {
        left.col(c) = eigen.eigenvectors().col(n - 1 - c);
        right.col(c) = core.transpose() * left.col(c);
        singular(c) = right.col(c).norm();
        if (singular(c) > 0) right.col(c) /= singular(c);
    }
    const Eigen::VectorXd root = singular.cwiseSqrt();
    const Eigen::MatrixXd a = ru.triangularView<Eigen::Upper>().solve(left) * root.asDiagonal();
    const Eigen::MatrixXd b = rv.triangularView<Eigen::Upper>().solve(right) * root.asDiagonal();
    RealFactors r;
    r.rows = rows;
    r.columns = columns;
    r.rank = rank;
    r.u.resize(std::size_t{rows} * rank);
    r.v.resize(std::size_t{columns} * rank);
    Eigen::Map<Matrix>(r.u.data(), at(rows), at(rank)) = ud * a;
    Eigen::Map<Matrix>(r.v.data(), at(columns), at(rank)) = vd * b;
    r.singular.assign(singular.data(), singular.data() + rank);
    return r;
}

}  // namespace tenpak::delta

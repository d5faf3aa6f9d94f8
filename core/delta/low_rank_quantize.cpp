// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <array>
#include <cmath>
#include <cstdlib>
#include <map>

#include "core/delta/low_rank_fit.h"

namespace tenpak::delta {

namespace {

double rms(const std::vector<double>& x, std::size_t rank, std::size_t c) {
    double s = 0;
    for (std::size_t i = c; i < x.size(); i += rank) s += x[i] * x[i];
    return std::sqrt(s * static_cast<double>(rank) / static_cast<double>(x.size()));
}

/// Value of a residual as the weights payload has it: difference of the magnitudes, seen from the prediction's sign.
std::int64_t residual(std::uint32_t predicted, std::uint32_t actual, std::uint32_t sign) {
    const std::int64_t p = predicted & (sign - 1), a = actual & (sign - 1);
    return ((predicted ^ actual) & sign) == 0 ? a - p : -a - p - 1;
}

}  // namespace

std::optional<Factors> quantize(const RealFactors& r, double step) {
    const auto rows = static_cast<double>(r.rows), columns = static_cast<double>(r.columns);
    struct Steps {
        std::size_t component;
        int exponent;           // of the product
        double u, v;            // size of one unit of each
        double most_u, most_v;  // largest integers
    };
    std::vector<Steps> kept;
    for (std::size_t c = 0; c < r.rank; ++c) {
        const double size_u = rms(r.u, r.rank, c), size_v = rms(r.v, r.rank, c);
        if (!(size_u > 0) || !(size_v > 0)) continue;
        // The error of u's rounding is step_u x size_v; bits are shared so that one bit more would help both sides
        // alike.
        const double ideal_u = step * std::sqrt(2 * rows / (rows + columns)) / size_v,
                     ideal_v = step * std::sqrt(2 * columns / (rows + columns)) / size_u;
        if (size_u < 0.5 * ideal_u || size_v < 0.5 * ideal_v) continue;  // rounds to (almost) nothing
        const double product = ideal_u * ideal_v;
        const int e = static_cast<int>(std::lround(std::log2(product)));
        const double fit = std::sqrt(std::ldexp(1.0, e) / product);
        Steps s{c, e, ideal_u * fit, ideal_v * fit, 0, 0};
        for (std::size_t i = c; i < r.u.size(); i += r.rank) s.most_u = std::max(s.most_u, std::abs(r.u[i]));
        for (std::size_t i = c; i < r.v.size(); i += r.rank) s.most_v = std::max(s.most_v, std::abs(r.v[i]));
        s.most_u = std::round(s.most_u / s.u);
        s.most_v = std::round(s.most_v / s.v);
        kept.push_back(s);
    }
    if (kept.empty()) return std::nullopt;
    int least = kept.front().exponent;
    for (const Steps& s : kept) least = std::min(least, s.exponent);
    Factors f;
    f.rows = r.rows;
    f.columns = r.columns;
    f.rank = static_cast<std::uint32_t>(kept.size());
    if (least < -600 || least > 60) return std::nullopt;
    f.exponent = static_cast<std::int16_t>(least);
    f.u.resize(std::size_t{r.rows} * f.rank);
    f.v.resize(std::size_t{r.columns} * f.rank);
    for (std::size_t k = 0; k < kept.size(); ++k) {
        const Steps& s = kept[k];
        int shift_u = 0, shift_v = 0;  // a component of a coarser unit is shifted up into the common one
        for (int n = s.exponent - least; n > 0; --n) {
            if (std::ldexp(s.most_u, shift_u) <= std::ldexp(s.most_v, shift_v))
                ++shift_u;
            else
                ++shift_v;
        }
        if (std::ldexp(s.most_u, shift_u) > 32767 || std::ldexp(s.most_v, shift_v) > 32767 || shift_u > 14 ||
            shift_v > 14)
            return std::nullopt;
        for (std::size_t i = 0; i < r.rows; ++i)
            f.u[i * f.rank + k] =
                static_cast<std::int16_t>(std::lround(r.u[i * r.rank + s.component] / s.u) * (1 << shift_u));
        for (std::size_t j = 0; j < r.columns; ++j)
            f.v[j * f.rank + k] =
                static_cast<std::int16_t>(std::lround(r.v[j * r.rank + s.component] / s.v) * (1 << shift_v));
    }
    return f;
}

double factor_bits(const Factors& f) {
    // Entropy of a normal distribution of each component's size, which the codec comes close to; some bytes of model.
    double bits = 8.0 * (kFactorsHeaderBytes + 40) + 22.0 * f.rank;
    for (const auto* x : {&f.u, &f.v}) {
        std::vector<double> squares(f.rank);
        std::vector<std::uint32_t> used(f.rank);
        for (std::size_t i = 0; i < x->size(); ++i) {
            squares[i % f.rank] += static_cast<double>((*x)[i]) * static_cast<double>((*x)[i]);
            used[i % f.rank] |= static_cast<std::uint32_t>(std::abs(std::int32_t{(*x)[i]}));
        }
        const auto n = static_cast<double>(x->size()) / f.rank;
        for (std::size_t c = 0; c < f.rank; ++c) {
            const double unit = used[c] == 0 ? 1 : static_cast<double>(used[c] & (~used[c] + 1));
            bits += n * std::max(0.3, 0.5 * std::log2(17.08 * (squares[c] / n / (unit * unit) + 1.0 / 12)));
        }
    }
    return bits;
}

ResidualCost residual_cost(const Sample& s, const MatrixPair& pair, const Factors& f) {
    ResidualCost cost;
    const std::size_t columns = pair.columns, bytes = columns * weight_width(pair.kind);
    // The sampled rows alone.
    Factors part = f;
    part.rows = static_cast<std::uint32_t>(s.rows.size());
    part.u.clear();
    for (const std::uint32_t r : s.rows)
        part.u.insert(part.u.end(), f.u.begin() + static_cast<std::ptrdiff_t>(std::size_t{r} * f.rank),
                      f.u.begin() + static_cast<std::ptrdiff_t>((std::size_t{r} + 1) * f.rank));
    const auto predictor = LowRankPredictor::make(part);
    if (!predictor.ok()) {
        cost.bits = 1e300;
        return cost;
    }
    constexpr int kReach = 24;
    struct Class {
        std::array<std::uint32_t, 2 * kReach + 2> count{};
        std::uint64_t all = 0;
        double beyond = 0;  // bits of the values that have no symbol of their own
        void add(std::int64_t v) {
            ++all;
            if (v >= -kReach && v <= kReach) {
                ++count[static_cast<std::size_t>(v + kReach)];
                return;
            }
            ++count[2 * kReach + 1];
            beyond += 2 * std::log2(static_cast<double>(std::abs(v)) / kReach) + 2;
        }
        double bits() const {
            double h = beyond;
            for (const std::uint32_t n : count)
                if (n != 0) h -= n * std::log2(static_cast<double>(n) / static_cast<double>(all));
            return h;
        }
    };
    std::vector<Class> classes(kKeyClasses), plain(256);
    const std::uint32_t sign = pair.kind == FloatKind::kFp32 ? 0x80000000u : 0x8000u;
    Bytes predicted(bytes);
    std::vector<std::uint8_t> keys(columns);
    for (std::size_t i = 0; i < s.rows.size(); ++i) {
        const std::span<const std::byte> base = std::span(s.base).subspan(i * bytes, bytes);
        if (!predictor->predict(i * columns, base, pair.kind, predicted, keys).ok()) {
            cost.bits = 1e300;
            return cost;
        }
        const std::byte* actual = s.fine_tune.data() + i * bytes;
        for (std::size_t j = 0; j < columns; ++j) {
            const std::uint32_t w = weight_bits(actual, j, pair.kind), b = weight_bits(base.data(), j, pair.kind);
            std::int64_t v = residual(weight_bits(predicted.data(), j, pair.kind), w, sign);
            if ((keys[j] & 128) != 0) v = -v;
            if (v != 0) ++cost.wrong;
            classes[keys[j] & 127].add(v);
            plain[exponent_of(b, pair.kind)].add(residual(b, w, sign));
        }
    }
    for (const Class& c : classes) cost.bits += c.bits();
    for (const Class& c : plain) cost.difference_bits += c.bits();
    return cost;
}

}  // namespace tenpak::delta

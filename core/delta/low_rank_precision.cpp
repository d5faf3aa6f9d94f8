// SPDX-License-Identifier: Apache-2.0
// How precise the integers shall be: what a bit more of them costs against what it saves of the residual.
#include <algorithm>
#include <cmath>

#include "core/delta/low_rank_fit.h"

namespace tenpak::delta {

namespace {

constexpr std::size_t kSampleWeights = 1u << 17;

std::uint16_t noise_key(double sigma) {
    return static_cast<std::uint16_t>(std::clamp(std::lround(508 + 4 * std::log2(std::max(sigma, 1e-300))), 40L, 980L));
}

/// Finds the precision of the integers that makes factors and residual smallest together.
class Precision {
 public:
    Precision(const MatrixPair& pair, const Sample& sample, const RealFactors& real, double noise)
        : pair_(pair),
          sample_(sample),
          real_(real),
          noise_(noise),
          scale_(static_cast<double>(pair.rows) / static_cast<double>(sample.rows.size())) {}

    std::optional<Recovered> search(const JobContext& ctx) {
        // Down and up from a usual precision in half octaves; the total has one minimum.
        constexpr double kUsual = 0.0113;
        const double ratio = std::sqrt(2.0);
        double here = measure(kUsual), at = kUsual;
        for (const double way : {1 / ratio, ratio}) {
            double t = at * way;
            for (int i = 0; i < 40 && !ctx.cancelled(); ++i, t *= way) {
                const double total = measure(t);
                if (total >= here && here < 1e299) break;
                if (total < here) {
                    here = total;
                    at = t;
                }
            }
        }
        if (!best_) return std::nullopt;
        for (const MergeRounding m : {MergeRounding::kBf16, MergeRounding::kFp16}) {
            merge_ = m;
            const double total = measure(at);
            if (total >= 0.99 * here) continue;
            here = total;
            for (double t = at / ratio; !ctx.cancelled(); t /= ratio) {
                const double finer = measure(t);
                if (finer >= here) break;
                here = finer;
                at = t;
            }
            break;
        }
        merge_ = best_->factors.merge;
        for (const int way : {-2, 2}) {  // the scale of the keys
            for (int n = best_->factors.noise + way; n >= 40 && n <= 980 && !ctx.cancelled(); n += way) {
                const double total = measure(at, static_cast<std::uint16_t>(n));
                if (total >= here) break;
                here = total;
            }
        }
        return std::move(best_);
    }

 private:
    double measure(double t, std::uint16_t noise = 0) {
        auto f = quantize(real_, t * noise_);
        if (!f) return 1e300;
        f->merge = merge_;
        f->noise = noise != 0 ? noise : noise_key(std::max(0.5 * t, 0.004) * noise_);
        const double factors = factor_bits(*f);
        const ResidualCost cost = residual_cost(sample_, pair_, *f);
        const double total = factors + cost.bits * scale_;
        if (!best_ || total < best_->factor_bits + best_->residual_bits) {
            const double weights = static_cast<double>(sample_.rows.size()) * pair_.columns;
            best_ = Recovered{std::move(*f), factors, cost.bits * scale_, cost.difference_bits * scale_,
                              static_cast<double>(cost.wrong) / weights};
        }
        return total;
    }
    const MatrixPair& pair_;
    const Sample& sample_;
    const RealFactors& real_;
    double noise_, scale_;
    MergeRounding merge_ = MergeRounding::kNone;
    std::optional<Recovered> best_;
};

}  // namespace

Result<Sample> take_sample(const MatrixPair& pair) {
    Sample s;
    const std::size_t bytes = pair.columns * weight_width(pair.kind);
    const std::size_t wanted =
        std::clamp<std::size_t>(kSampleWeights / pair.columns, std::min<std::size_t>(4, pair.rows), pair.rows);
    s.base.resize(wanted * bytes);
    s.fine_tune.resize(wanted * bytes);
    for (std::size_t i = 0; i < wanted; ++i) {
        const auto row = static_cast<std::uint32_t>((i * 2 + 1) * pair.rows / (2 * wanted));
        s.rows.push_back(row);
        TENPAK_RETURN_IF_ERROR(pair.read(std::uint64_t{row} * bytes, std::span(s.base).subspan(i * bytes, bytes),
                                         std::span(s.fine_tune).subspan(i * bytes, bytes)));
    }
    return s;
}

double rounding_noise(const Sample& s, const MatrixPair& pair) {
    double squares = 0;
    const std::size_t n = s.rows.size() * pair.columns;
    for (std::size_t i = 0; i < n; ++i) {
        const unsigned e = exponent_of(weight_bits(s.fine_tune.data(), i, pair.kind), pair.kind);
        if (e == (pair.kind == FloatKind::kFp16 ? 31u : 255u)) continue;
        const auto unit = static_cast<double>(unit_of(e, pair.kind));
        squares += unit * unit / 12;
    }
    return std::sqrt(squares / static_cast<double>(n));
}

std::optional<Recovered> choose_precision(const MatrixPair& pair, const Sample& sample, const RealFactors& real,
                                          double noise, const JobContext& ctx) {
    auto best = Precision(pair, sample, real, noise).search(ctx);
    if (best) best->factor_bits = 8.0 * static_cast<double>(factors_encode(best->factors).size());
    return best;
}

}  // namespace tenpak::delta

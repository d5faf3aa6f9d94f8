// SPDX-License-Identifier: Apache-2.0
#include "core/delta/choose_base.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <map>

#include "core/base/thread_pool.h"
#include "core/delta/encode_block.h"
#include "core/delta/estimate_read.h"
#include "core/delta/match_sketch.h"
#include "core/delta/pair.h"
#include "core/delta/predict.h"
#include "core/delta/transform.h"
#include "core/delta/weight_coder.h"

namespace tenpak::delta {

namespace {

/// Read of each of the two models for one candidate.
constexpr std::uint64_t kSampleBytes = 1u << 20;
constexpr std::uint64_t kSlice = 1024;

std::string percent(double fraction) {
    char text[32];
    std::snprintf(text, sizeof text, fraction > 0.9995 || fraction < 0.1 ? "%.1f %%" : "%.0f %%", 100 * fraction);
    return text;
}

/// Samples of one element type, pooled over the tensors: too little of each for tables of its own.
struct Pool {
    Bytes raw, predicted;     ///< changed slices
    double weights = 0;       ///< that they stand for
    double sampled = 0;
    Bytes alone;              ///< without a counterpart
    double alone_weights = 0;
};

class Look {
   public:
    Look(const ModelSource& fine_tune, const ModelSource& base, const JobContext& ctx) : fine_(fine_tune), base_(base), ctx_(ctx) {}

    Result<BaseCandidate> run() {
        const PairPlan plan = pair_tensors(base_, fine_, ctx_);
        TENPAK_RETURN_IF_ERROR(ctx_.check());
        c_.tensors = plan.pairs.size();
        c_.fits = plan.fits;
        for (const TensorPair& p : plan.pairs) {
            c_.matched_tensors += p.base ? 1 : 0;
            c_.same_name_tensors += p.base && p.how.empty() ? 1 : 0;
            if (p.base && !p.how.empty()) ++ways_[p.how];
        }
        if (!c_.fits) {
            c_.reason = misfit_error(plan, base_, fine_).what;
            return c_;
        }
        const auto total = static_cast<double>(fine_.parameters());
        for (const TensorPair& p : plan.pairs) {
            TENPAK_RETURN_IF_ERROR(ctx_.check());
            TENPAK_RETURN_IF_ERROR(sample(p, total));
        }
        double bits = other_bits_;
        for (const auto& [type, pool] : pools_) {
            const FloatKind kind = *float_kind(type);
            const double raw_bits = dtype_bits(type);
            if (!pool.raw.empty()) {
                const auto n = static_cast<double>(pool.raw.size()) * 8 / raw_bits;
                // Tables are paid once a block of a million weights: not by the sample.
                const double each = std::min(8 * weight_cost(pool.raw, pool.predicted, kind).data_bytes, 8 * weight_cost(pool.raw, {}, kind).data_bytes) / n;
                bits += std::min(each, raw_bits) * pool.weights;
            }
            if (!pool.alone.empty()) {
                const auto n = static_cast<double>(pool.alone.size()) * 8 / raw_bits;
                bits += std::min(8 * weight_cost(pool.alone, {}, kind).data_bytes / n, raw_bits) * pool.alone_weights;
            }
        }
        c_.bits_per_weight = total > 0 ? bits / total : 0;
        const double raw = 8 * static_cast<double>(fine_.weight_bytes());
        c_.saved_fraction = raw > 0 ? std::clamp(1 - bits / raw, 0.0, 1.0) : 0;
        c_.equal_fraction = compared_ > 0 ? equal_ / compared_ : 0;
        say();
        return c_;
    }

   private:
    /// A share of the sample by the tensor's size, one slice at least.
    Status sample(const TensorPair& p, double total) {
        const TensorInfo& t = fine_.tensors()[p.fine_tune];
        const std::uint64_t elements = t.elements();
        const unsigned bits = dtype_bits(t.dtype);
        if (elements == 0) return {};
        if (!float_kind(t.dtype)) {
            other_bits_ += static_cast<double>(p.base ? 0 : t.bytes * 8);  // of other types little is stored in models: no closer look
            return {};
        }
        const std::uint64_t budget = kSampleBytes * 8 / bits;
        const auto share = static_cast<unsigned>(std::clamp(static_cast<double>(budget) * static_cast<double>(elements) / total / static_cast<double>(kSlice), 1.0, 64.0));
        Pool& pool = pools_[t.dtype];
        const std::uint64_t predicted = p.base ? p.weights : 0;
        if (predicted > 0) {
            const auto slices = spread_slices(predicted, share, kSlice, 64);
            std::uint64_t count = 0;
            for (const WeightSlice& s : slices) count += s.count;
            const double stands_for = static_cast<double>(predicted) / static_cast<double>(count);
            for (const WeightSlice& s : slices) {
                TENPAK_ASSIGN(const Bytes raw, read_slices(fine_, t, {s}));
                TENPAK_ASSIGN(const Bytes other, predict_weights(base_, base_.tensors()[*p.base], p.base_weight + s.first, s.count, p.transform));
                const auto n = static_cast<double>(s.count);
                const auto changed = static_cast<double>(count_changed(raw, other, t.dtype));
                compared_ += n * stands_for;
                equal_ += (n - changed) * stands_for;
                if (changed == 0) continue;
                pool.raw.insert(pool.raw.end(), raw.begin(), raw.end());
                pool.predicted.insert(pool.predicted.end(), other.begin(), other.end());
                pool.weights += n * stands_for;
            }
        }
        if (predicted < elements) {
            // All or the rows that were added; sampled from the end.
            const std::uint64_t n = std::min(elements - predicted, 8 * kSlice);
            TENPAK_ASSIGN(const Bytes raw, read_slices(fine_, t, {{elements - n, n}}));
            pool.alone.insert(pool.alone.end(), raw.begin(), raw.end());
            pool.alone_weights += static_cast<double>(elements - predicted);
        }
        return {};
    }

    void say() {
        char bits[32];
        std::snprintf(bits, sizeof bits, "%.2g", c_.bits_per_weight);
        std::string& r = c_.reason;
        if (c_.equal_fraction == 1) r = "all sampled weights are equal: a copy, or very nearly";
        else r = percent(c_.equal_fraction) + " of the sampled weights are equal, about " + bits + " bits a weight";
        const auto of = " of " + std::to_string(c_.tensors) + " tensors";
        r += "; " + std::to_string(c_.same_name_tensors) + of + " match by name, type and shape";
        // The three most frequent other ways.
        std::vector<std::pair<std::size_t, std::string>> ways;
        for (const auto& [how, n] : ways_) ways.emplace_back(n, how);
        std::sort(ways.rbegin(), ways.rend());
        for (std::size_t i = 0; i < std::min<std::size_t>(ways.size(), 3); ++i) r += ", " + std::to_string(ways[i].first) + " otherwise (" + ways[i].second + ")";
        if (c_.matched_tensors < c_.tensors) r += ", " + std::to_string(c_.tensors - c_.matched_tensors) + " not at all";
        if (c_.equal_fraction < 0.01 && c_.bits_per_weight > 0.5 * 8 * static_cast<double>(fine_.weight_bytes()) / std::max(1.0, static_cast<double>(fine_.parameters()))) r += "; its weights are most likely unrelated";
    }

    const ModelSource& fine_;
    const ModelSource& base_;
    const JobContext& ctx_;
    BaseCandidate c_;
    std::map<std::string, std::size_t> ways_;
    std::map<DType, Pool> pools_;
    double other_bits_ = 0, compared_ = 0, equal_ = 0;
};

}  // namespace

Result<std::vector<BaseCandidate>> choose_base(const ModelSource& fine_tune, const std::vector<std::shared_ptr<const ModelSource>>& candidates, unsigned threads, const JobContext& ctx) {
    try {
        if (fine_tune.parameters() == 0) return make_error(ErrorCode::kInvalidArgument, "the fine-tune has no weights", fine_tune.id());
        std::vector<BaseCandidate> ranking;
        const std::function<Result<BaseCandidate>(std::size_t)> work = [&](std::size_t i) -> Result<BaseCandidate> {
            try {
                auto c = Look(fine_tune, *candidates[i], ctx).run();
                if (!c.ok()) {
                    TENPAK_RETURN_IF_ERROR(ctx.check());
                    BaseCandidate unreadable;
                    unreadable.tensors = fine_tune.tensors().size();
                    unreadable.reason = c.error().text();
                    return unreadable;
                }
                return c;
            } catch (const std::bad_alloc&) {
                return make_error(ErrorCode::kOutOfMemory, "not enough memory to compare", candidates[i]->id(), "Use fewer threads");
            }
        };
        const std::function<Status(std::size_t, BaseCandidate&&)> collect = [&](std::size_t i, BaseCandidate&& c) -> Status {
            c.candidate = i;
            ranking.push_back(std::move(c));
            ctx.report({"compare", i + 1, candidates.size(), "models", candidates[i]->id()});
            return {};
        };
        const unsigned n = threads == 0 ? usable_cpus() : threads;
        TENPAK_RETURN_IF_ERROR(parallel_ordered<BaseCandidate>(candidates.size(), n, 2 * n, ctx, work, collect));
        std::stable_sort(ranking.begin(), ranking.end(), [](const BaseCandidate& a, const BaseCandidate& b) {
            if (a.fits != b.fits) return a.fits;
            if (!a.fits) return a.matched_tensors > b.matched_tensors;
            return a.saved_fraction > b.saved_fraction;
        });
        return ranking;
    } catch (const std::bad_alloc&) {
        return make_error(ErrorCode::kOutOfMemory, "not enough memory to compare models", fine_tune.id());
    }
}

}  // namespace tenpak::delta

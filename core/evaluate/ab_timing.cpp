// SPDX-License-Identifier: Apache-2.0
#include "core/evaluate/ab_timing.h"

#include <algorithm>
#include <cmath>
#include <new>
#include <numeric>

#include "core/evaluate/decode_rounds.h"
#include "core/evaluate/statistics.h"

namespace tenpak::evaluate {
namespace {

constexpr std::uint64_t kWarmSteps = 8;

/// Largest k such that the k-th smallest and k-th largest of n hold the median with at least 95 %: twice the binomial
/// tail P(X < k) is at most 5 %. 0: too few.
std::size_t median_interval_rank(std::size_t n) {
    double term = std::pow(0.5, static_cast<double>(n)), tail = 0;
    std::size_t k = 0;
    for (std::size_t i = 0; i < n; ++i) {
        tail += term;  // P(X <= i)
        if (2 * tail > 0.05) return k;
        k = i + 1;
        term *= static_cast<double>(n - i) / static_cast<double>(i + 1);
    }
    return k;
}

struct Pair {
    std::vector<double> a, b;
    double ratio() const {
        // The median step: one interrupt does not spoil the round.
        const auto median = [](std::vector<double> v) {
            std::sort(v.begin(), v.end());
            return quantile(v, 0.5);
        };
        return median(a) / median(b);
    }
};

}  // namespace

AbResult judge_ratios(std::vector<double> ratios) {
    AbResult r;
    if (ratios.empty()) return r;
    std::sort(ratios.begin(), ratios.end());
    r.pairs = static_cast<std::uint32_t>(ratios.size());
    r.ratio = quantile(ratios, 0.5);
    const std::size_t k = median_interval_rank(ratios.size());
    r.low = k == 0 ? 0 : ratios[k - 1];
    r.high = k == 0 ? INFINITY : ratios[ratios.size() - k];
    if (r.low > 1) r.faster = Faster::kB;
    if (r.high < 1) r.faster = Faster::kA;
    return r;
}

Result<AbResult> compare_speed(model::Transformer& a, model::Transformer& b, const AbOptions& options, const JobContext& ctx) {
    const std::uint32_t limit = std::min(a.config().max_positions, b.config().max_positions);
    if (options.batch == 0 || options.prompt == 0 || options.steps == 0 || options.pairs < 6) {
        return make_error(ErrorCode::kInvalidArgument, "a comparison needs a prompt, a batch and at least 6 pairs of rounds");
    }
    if (options.prompt >= limit || options.steps > limit - options.prompt) {
        return make_error(ErrorCode::kInvalidArgument, "a prompt of " + std::to_string(options.prompt) + " and " + std::to_string(options.steps) +
                          " generated tokens do not fit the models' context of " + std::to_string(limit));
    }
    try {
        a.set_stop(ctx.stop);
        b.set_stop(ctx.stop);
        const auto prompt = random_prompt(options.prompt, std::min(a.config().vocab, b.config().vocab));
        DecodeRounds rounds_a(a, prompt, options.batch, options.steps), rounds_b(b, prompt, options.batch, options.steps);
        std::vector<double> warm;
        for (DecodeRounds* r : {&rounds_a, &rounds_b}) {
            TENPAK_RETURN_IF_ERROR(r->prefill());
            TENPAK_RETURN_IF_ERROR(r->run(std::min<std::uint64_t>(kWarmSteps, options.steps), ctx, warm));
        }
        std::vector<double> ratios, all_a, all_b;
        std::uint32_t repeated = 0, disturbed = 0;
        const ContentionWatch whole;
        ContentionWatch watch;
        while (ratios.size() < options.pairs) {
            ctx.report({"timing", ratios.size(), options.pairs, "pairs of rounds", {}});
            Pair pair;
            watch.restart();
            const bool a_first = (ratios.size() + repeated) % 2 == 0;
            TENPAK_RETURN_IF_ERROR(a_first ? rounds_a.run(options.steps, ctx, pair.a) : rounds_b.run(options.steps, ctx, pair.b));
            TENPAK_RETURN_IF_ERROR(a_first ? rounds_b.run(options.steps, ctx, pair.b) : rounds_a.run(options.steps, ctx, pair.a));
            const Contention c = watch.so_far();
            if (c.known && c.total() > kContended) {
                if (repeated < options.most_repeated) {
                    ++repeated;
                    continue;
                }
                ++disturbed;
            }
            ratios.push_back(pair.ratio());
            all_a.insert(all_a.end(), pair.a.begin(), pair.a.end());
            all_b.insert(all_b.end(), pair.b.begin(), pair.b.end());
        }
        AbResult r = judge_ratios(ratios);
        r.repeated = repeated;
        r.disturbed = disturbed;
        r.contention = whole.so_far();
        for (auto* v : {&all_a, &all_b}) {
            for (double& s : *v) s *= 1e3;
        }
        r.a_ms = percentiles(std::move(all_a));
        r.b_ms = percentiles(std::move(all_b));
        return r;
    } catch (const std::bad_alloc&) {
        return make_error(ErrorCode::kOutOfMemory, "not enough memory to compare two models", {}, "Use a smaller --batch or --prompt");
    }
}

}  // namespace tenpak::evaluate

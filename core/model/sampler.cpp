// SPDX-License-Identifier: Apache-2.0
#include "core/model/sampler.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <unordered_set>

namespace tenpak::model {
namespace {

bool likelier(const SampleCandidate& a, const SampleCandidate& b) { return a.probability != b.probability ? a.probability > b.probability : a.id < b.id; }

/// Scores to probabilities. Each candidate's `probability` holds its score before.
void softmax(std::vector<SampleCandidate>& c) {
    double top = -std::numeric_limits<double>::infinity(), sum = 0;
    for (const auto& x : c) top = std::max(top, x.probability);
    for (auto& x : c) sum += x.probability = std::exp(x.probability - top);
    for (auto& x : c) x.probability /= sum;
}

/// Keeps the k best and all that equal the last of them.
void keep_top_k(std::vector<SampleCandidate>& c, std::size_t k) {
    if (k == 0 || k >= c.size()) return;
    std::nth_element(c.begin(), c.begin() + static_cast<std::ptrdiff_t>(k - 1), c.end(), likelier);
    const double least = c[k - 1].probability;
    std::erase_if(c, [&](const auto& x) { return x.probability < least; });
}

/// Of probabilities: the likeliest until they sum to top_p, the one that reaches it included.
void keep_top_p(std::vector<SampleCandidate>& c, double top_p) {
    // Most often a few hundred are enough: the rest need not be sorted.
    for (std::size_t sorted = 256;; sorted *= 8) {
        const std::size_t n = std::min(sorted, c.size());
        std::partial_sort(c.begin(), c.begin() + static_cast<std::ptrdiff_t>(n), c.end(), likelier);
        double sum = 0;
        for (std::size_t i = 0; i < n; ++i) {
            if (i > 0 && sum >= top_p) {
                c.resize(i);
                return;
            }
            sum += c[i].probability;
        }
        if (n == c.size()) return;
    }
}

void renormalize(std::vector<SampleCandidate>& c) {
    double sum = 0;
    for (const auto& x : c) sum += x.probability;
    for (auto& x : c) x.probability /= sum;
}

}  // namespace

Status check_sampling(const SamplingOptions& o) {
    const auto bad = [](const char* what) { return make_error(ErrorCode::kInvalidArgument, what); };
    if (!(o.temperature >= 0 && o.temperature <= 100)) return bad("the temperature must be from 0 to 100");
    if (!(o.top_p > 0 && o.top_p <= 1)) return bad("top-p must be above 0 and at most 1");
    if (!(o.min_p >= 0 && o.min_p <= 1)) return bad("min-p must be from 0 to 1");
    if (!(o.repetition_penalty > 0 && o.repetition_penalty <= 100)) return bad("the repetition penalty must be above 0 and at most 100");
    return {};
}

Result<std::vector<SampleCandidate>> sampling_candidates(std::span<const float> logits, std::span<const Token> seen, const SamplingOptions& o) {
    TENPAK_RETURN_IF_ERROR(check_sampling(o));
    std::vector<SampleCandidate> c;
    c.reserve(logits.size());
    for (std::size_t i = 0; i < logits.size(); ++i) {
        if (std::isnan(logits[i]) || logits[i] == std::numeric_limits<float>::infinity()) return make_error(ErrorCode::kNumeric, "a logit is not a number");
        c.push_back({static_cast<Token>(i), logits[i]});
    }
    if (o.repetition_penalty != 1) {
        const std::unordered_set<Token> once(seen.begin(), seen.end());
        for (const Token t : once) {
            if (t < 0 || static_cast<std::size_t>(t) >= c.size()) continue;
            double& score = c[static_cast<std::size_t>(t)].probability;
            score = score < 0 ? score * o.repetition_penalty : score / o.repetition_penalty;
        }
    }
    std::erase_if(c, [](const auto& x) { return std::isinf(x.probability); });
    if (c.empty()) return make_error(ErrorCode::kNumeric, "no logit is finite");
    if (o.temperature == 0) return std::vector<SampleCandidate>{{std::min_element(c.begin(), c.end(), likelier)->id, 1.0}};
    for (auto& x : c) x.probability /= o.temperature;
    keep_top_k(c, o.top_k);
    softmax(c);
    if (o.top_p < 1) {
        keep_top_p(c, o.top_p);
        renormalize(c);
    }
    if (o.min_p > 0) {
        double top = 0;
        for (const auto& x : c) top = std::max(top, x.probability);
        std::erase_if(c, [&](const auto& x) { return x.probability < o.min_p * top; });
        renormalize(c);
    }
    std::sort(c.begin(), c.end(), likelier);
    return c;
}

double Sampler::uniform() {
    // SplitMix64 (Steele, Lea and Flood 2014): the same numbers everywhere, unlike the standard library's distributions.
    std::uint64_t z = state_ += 0x9e3779b97f4a7c15ull;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ull;
    z = (z ^ z >> 27) * 0x94d049bb133111ebull;
    z ^= z >> 31;
    return static_cast<double>(z >> 11) * 0x1p-53;
}

Result<Token> Sampler::next(std::span<const float> logits, std::span<const Token> seen) {
    TENPAK_ASSIGN(const auto candidates, sampling_candidates(logits, seen, options_));
    double left = uniform();
    for (const auto& c : candidates) {
        left -= c.probability;
        if (left < 0) return c.id;
    }
    return candidates.back().id;  // rounding
}

}  // namespace tenpak::model

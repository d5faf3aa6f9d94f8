// SPDX-License-Identifier: Apache-2.0
#include "core/compute/softmax.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "core/compute/softmax.cpp"
#include <hwy/foreach_target.h>
// After foreach_target: compiled once a target.
#include <hwy/highway.h>
#include <hwy/contrib/math/math-inl.h>

#include <algorithm>
#include <cmath>

HWY_BEFORE_NAMESPACE();
namespace tenpak::compute::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// Partial sums in fp32 stay short, so that half a million terms lose nothing.
constexpr std::size_t kPart = 64;

float Largest(const float* x, std::size_t n) {
    const hn::ScalableTag<float> d;
    const std::size_t lanes = hn::Lanes(d);
    auto top = hn::Set(d, x[0]);
    std::size_t i = 0;
    for (; i + lanes <= n; i += lanes) top = hn::Max(top, hn::LoadU(d, x + i));
    float best = hn::GetLane(hn::MaxOfLanes(d, top));
    for (; i < n; ++i) best = std::max(best, x[i]);
    return best;
}

double LogSumExp(const float* x, std::size_t n) {
    const hn::ScalableTag<float> d;
    const std::size_t lanes = hn::Lanes(d);
    const float largest = Largest(x, n);
    const auto top = hn::Set(d, largest);
    double total = 0;
    std::size_t i = 0;
    while (i + lanes <= n) {
        auto part = hn::Zero(d);
        for (std::size_t k = 0; k < kPart && i + lanes <= n; ++k, i += lanes) part = hn::Add(part, hn::Exp(d, hn::Sub(hn::LoadU(d, x + i), top)));
        total += static_cast<double>(hn::GetLane(hn::SumOfLanes(d, part)));
    }
    for (; i < n; ++i) total += static_cast<double>(std::exp(x[i] - largest));
    return std::log(total) + static_cast<double>(largest);
}

double KlDivergence(const float* p, double p_total, const float* q, double q_total, std::size_t n) {
    const hn::ScalableTag<float> d;
    const std::size_t lanes = hn::Lanes(d);
    // ln p - ln q = (p - q) - (p_total - q_total): the small difference is taken before it is rounded.
    const auto shift = hn::Set(d, static_cast<float>(p_total - q_total)), total = hn::Set(d, static_cast<float>(p_total));
    double sum = 0;
    std::size_t i = 0;
    while (i + lanes <= n) {
        auto part = hn::Zero(d);
        for (std::size_t k = 0; k < kPart && i + lanes <= n; ++k, i += lanes) {
            const auto a = hn::LoadU(d, p + i), b = hn::LoadU(d, q + i);
            part = hn::MulAdd(hn::Exp(d, hn::Sub(a, total)), hn::Sub(hn::Sub(a, b), shift), part);
        }
        sum += static_cast<double>(hn::GetLane(hn::SumOfLanes(d, part)));
    }
    for (; i < n; ++i) {
        const double a = static_cast<double>(p[i]) - p_total;
        sum += std::exp(a) * (a - (static_cast<double>(q[i]) - q_total));
    }
    return sum;
}

std::size_t ArgMax(const float* x, std::size_t n) {
    const float best = Largest(x, n);
    return static_cast<std::size_t>(std::find(x, x + n, best) - x);
}

}  // namespace tenpak::compute::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace tenpak::compute {
HWY_EXPORT(LogSumExp);
HWY_EXPORT(KlDivergence);
HWY_EXPORT(ArgMax);

double log_sum_exp(const float* logits, std::size_t n) { return HWY_DYNAMIC_DISPATCH(LogSumExp)(logits, n); }
double kl_divergence(const float* reference, double reference_total, const float* logits, double total, std::size_t n) {
    return HWY_DYNAMIC_DISPATCH(KlDivergence)(reference, reference_total, logits, total, n);
}
std::size_t argmax(const float* logits, std::size_t n) { return HWY_DYNAMIC_DISPATCH(ArgMax)(logits, n); }

}  // namespace tenpak::compute
#endif

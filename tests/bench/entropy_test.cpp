// SPDX-License-Identifier: Apache-2.0
// The estimator against sources whose entropy is known.
#include "tests/bench/entropy.h"

#include <gtest/gtest.h>

#include <cmath>
#include <random>

#include "core/base/half.h"

namespace tenpak::bench {
namespace {

/// Base weights of one exponent and sign, away from its ends, plus a two-sided geometric difference: H is known.
struct Source {
    double p = .2;  ///< P(k) = p (1 - p)^|k| / (2 - p)
    double bits() const {
        double h = 0, n = p / (2 - p);
        for (int k = 0; k < 400; ++k) {
            const double q = n * std::pow(1 - p, k);
            if (q > 1e-300) h -= (k == 0 ? 1 : 2) * q * std::log2(q);
        }
        return h;
    }
};

struct Data {
    std::vector<std::vector<std::uint32_t>> fine, base;
    std::vector<EntropyInput> input;
};
Data draw(std::size_t tensors, std::size_t weights, const Source& s, DType type, int spread) {
    std::mt19937 g(7);
    std::geometric_distribution<int> size(s.p);
    Data d;
    const std::size_t width = dtype_bits(type) / 8;
    for (std::size_t t = 0; t < tensors; ++t) {
        std::vector<std::uint32_t> b, f;
        for (std::size_t i = 0; i < weights; ++i) {
            const std::uint32_t exponent = type == DType::kBF16 ? 0x3c00u + 60 : 0x3c000000u + (1u << 22);
            int k = 0;
            do k = size(g);
            while (k == 0 && g() % 2 == 0);  // 0 half as often as a fair sign gives it: P above
            if (g() % 2 == 0) k = -k;
            b.push_back(exponent);
            f.push_back(exponent + static_cast<std::uint32_t>(k * spread));
        }
        const auto pack = [&](std::vector<std::uint32_t>& v) {
            std::vector<std::uint32_t> out((v.size() * width + 3) / 4);
            for (std::size_t i = 0; i < v.size(); ++i)
                std::memcpy(reinterpret_cast<char*>(out.data()) + i * width, &v[i], width);
            v = out;
        };
        pack(b);
        pack(f);
        d.base.push_back(std::move(b));
        d.fine.push_back(std::move(f));
    }
    for (std::size_t t = 0; t < tensors; ++t)
        d.input.push_back({std::as_bytes(std::span(d.fine[t])).first(weights * width),
                           std::as_bytes(std::span(d.base[t])).first(weights * width), type});
    return d;
}

TEST(ConditionalEntropy, LargeTensorBothEstimatesAreRight) {
    const Source s;
    const std::size_t n = 200000;
    const Data d = draw(1, n, s, DType::kBF16, 1);
    const Entropy h = conditional_entropy(d.input);
    EXPECT_NEAR(8 * h.plug_in / n, s.bits(), .01 * s.bits());
    EXPECT_NEAR(8 * h.estimate / n, s.bits(), .01 * s.bits());
    EXPECT_GT(h.estimate, h.plug_in);
}

TEST(ConditionalEntropy, ManySmallTensorsThePlugInIsFarTooLow) {
    const Source s;
    const std::size_t tensors = 400, n = 64;
    const Entropy h = conditional_entropy(draw(tensors, n, s, DType::kBF16, 1).input);
    EXPECT_LT(8 * h.plug_in / (tensors * n), .95 * s.bits());
    EXPECT_NEAR(8 * h.estimate / (tensors * n), s.bits(), .02 * s.bits());
}

TEST(ConditionalEntropy, WideDifferencesAreTakenInBuckets) {
    // Normal differences of standard deviation 200,000 in fp32 units: 100,000 weights, hardly a value comes twice.
    std::mt19937 g(3);
    std::normal_distribution<double> normal(0, 200000);
    const std::size_t n = 100000;
    std::vector<std::uint32_t> base(n, 0x3c000000u + (1u << 22)), fine(n);
    for (std::size_t i = 0; i < n; ++i)
        fine[i] = base[i] + static_cast<std::uint32_t>(static_cast<std::int32_t>(std::lround(normal(g))));
    const Entropy h =
        conditional_entropy({{std::as_bytes(std::span(fine)), std::as_bytes(std::span(base)), DType::kF32}});
    const double truth = std::log2(200000 * std::sqrt(2 * M_PI * M_E));  // of the normal in units of one
    EXPECT_LT(8 * h.plug_in / n, truth - 2);
    EXPECT_NEAR(8 * h.estimate / n, truth, .02 * truth);
}

TEST(ConditionalEntropy, EqualTensorsCostNothing) {
    const std::vector<std::uint32_t> x(5000, 0x3c003c01u);
    const auto b = std::as_bytes(std::span(x));
    const Entropy h = conditional_entropy({{b, b, DType::kBF16}});
    EXPECT_EQ(h.plug_in, 0);
    EXPECT_EQ(h.estimate, 0);
}

}  // namespace
}  // namespace tenpak::bench

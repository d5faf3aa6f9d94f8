// SPDX-License-Identifier: Apache-2.0
#include "core/quant/gemm.h"

#include <gtest/gtest.h>

#include <cmath>
#include <random>

#include "core/quant/cholesky.h"
#include "core/quant/gram.h"

using namespace tenpak;
using namespace tenpak::quant;

namespace {

std::vector<float> random_floats(std::size_t n, unsigned seed) {
    std::mt19937 rng(seed);
    std::vector<float> v(n);
    for (float& x : v) x = static_cast<float>(static_cast<int>(rng() % 2001) - 1000) / 1000.0f;
    return v;
}

}  // namespace

TEST(Gemm, AddsTheProductForAnyShapeAndStride) {
    for (const auto& [m, n, k] : {std::tuple{1u, 1u, 1u}, {7u, 33u, 5u}, {6u, 32u, 256u}, {13u, 70u, 300u}, {3u, 0u, 4u}}) {
        for (const bool transposed : {false, true}) {
            const auto a = random_floats(std::size_t{m} * k, 1), b = random_floats(std::size_t{k} * (n + 3), 2);
            auto c = random_floats(std::size_t{m} * (n + 1), 3);
            const auto before = c;
            gemm_add(a.data(), transposed ? 1 : k, transposed ? m : 1, b.data(), n + 3, c.data(), n + 1, m, n, k, -2.0f);
            for (unsigned i = 0; i < m; ++i) {
                for (unsigned j = 0; j <= n; ++j) {
                    double want = before[i * (n + 1) + j];
                    for (unsigned t = 0; t < k && j < n; ++t) want -= 2.0 * static_cast<double>(transposed ? a[t * m + i] : a[i * k + t]) * b[t * (n + 3) + j];
                    ASSERT_NEAR(c[i * (n + 1) + j], want, 1e-4) << m << "x" << n << "x" << k << " at " << i << "," << j;
                }
            }
        }
    }
}

TEST(Gram, IsTheSumOfOuterProductsForAnyNumberOfThreads) {
    const std::uint32_t k = 150, tokens = 77;
    const auto x = random_floats(std::size_t{k} * tokens, 4);
    ThreadPool one(1), three(3);
    Gram a(k), b(k);
    a.add(x.data(), tokens, one);
    b.add(x.data(), tokens, three);
    ASSERT_TRUE(a.finish("x").ok());
    ASSERT_TRUE(b.finish("x").ok());
    EXPECT_EQ(a.tokens(), tokens);
    for (std::uint32_t i = 0; i < k; ++i) {
        double mean = 0;
        for (std::uint32_t t = 0; t < tokens; ++t) mean += std::fabs(x[t * k + i]) / tokens;
        EXPECT_NEAR(a.mean_abs()[i], mean, 1e-6);
        for (std::uint32_t j = 0; j < k; ++j) {
            double want = 0;
            for (std::uint32_t t = 0; t < tokens; ++t) want += static_cast<double>(x[t * k + i]) * x[t * k + j];
            ASSERT_NEAR(a.at(i, j), want, 1e-4);
            ASSERT_EQ(a.at(i, j), b.at(i, j));
        }
    }
    const auto d = random_floats(std::size_t{5} * k, 5);
    double want = 0;
    for (std::uint32_t r = 0; r < 5; ++r) {
        for (std::uint32_t t = 0; t < tokens; ++t) {
            double y = 0;
            for (std::uint32_t c = 0; c < k; ++c) y += static_cast<double>(d[r * k + c]) * x[t * k + c];
            want += y * y;
        }
    }
    const auto error = output_error(d.data(), 5, a, three, {});
    ASSERT_TRUE(error.ok());
    EXPECT_NEAR(*error, want, want * 1e-5);
}

TEST(Gram, RefusesInputsThatAreNotFinite) {
    ThreadPool pool(1);
    for (const float bad : {std::nanf(""), std::numeric_limits<float>::infinity()}) {
        std::vector<float> x(10, 1.0f);
        x[7] = bad;
        Gram g(5);
        g.add(x.data(), 2, pool);
        const Status s = g.finish("model.layers.0.mlp.up_proj.weight");
        ASSERT_FALSE(s.ok());
        EXPECT_EQ(s.error().code, ErrorCode::kNumeric);
        EXPECT_NE(s.error().text().find("up_proj"), std::string::npos);
    }
}

TEST(Cholesky, FactorsAndInvertsAcrossBlocks) {
    ThreadPool pool(2);
    for (const std::uint32_t k : {1u, 5u, 128u, 300u}) {
        const auto x = random_floats(std::size_t{k} * 2 * k, 6);
        std::vector<double> a(std::size_t{k} * k);
        for (std::uint32_t i = 0; i < k; ++i) {
            for (std::uint32_t j = 0; j < k; ++j) {
                for (std::uint32_t t = 0; t < 2 * k; ++t) a[i * k + j] += static_cast<double>(x[t * k + i]) * x[t * k + j];
            }
            a[i * k + i] += 1;
        }
        auto l = a;
        ASSERT_TRUE(cholesky(l, k, pool, {}).ok());
        const auto inverse = invert_lower(l, k, pool, {});
        ASSERT_TRUE(inverse.ok());
        for (std::uint32_t i = 0; i < k; ++i) {
            for (std::uint32_t j = 0; j <= i; ++j) {
                double llt = 0, one = 0;
                for (std::uint32_t t = 0; t <= j; ++t) llt += l[i * k + t] * l[j * k + t];
                for (std::uint32_t t = j; t <= i; ++t) one += l[i * k + t] * (*inverse)[t * k + j];
                ASSERT_NEAR(llt, a[i * k + j], 1e-9 * k);
                ASSERT_NEAR(one, i == j ? 1.0 : 0.0, 1e-9 * k);
            }
        }
    }
}

TEST(Cholesky, RefusesWhatIsNotPositiveDefinite) {
    ThreadPool pool(1);
    std::vector<double> a = {1, 2, 2, 1};
    EXPECT_EQ(cholesky(a, 2, pool, {}).error().code, ErrorCode::kNumeric);
    std::vector<double> nan = {std::nan(""), 0, 0, 1};
    EXPECT_FALSE(cholesky(nan, 2, pool, {}).ok());
}

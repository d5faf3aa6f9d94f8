// SPDX-License-Identifier: Apache-2.0
// The front against its definition, by brute force over random points with ties, NaN and infinities.
#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <random>

#include "core/optimizer/judge.h"

namespace tenpak::optimizer {
namespace {

constexpr double kInf = std::numeric_limits<double>::infinity();

std::vector<std::size_t> brute_force(const std::vector<double>& x, const std::vector<double>& y) {
    std::vector<std::size_t> front;
    for (std::size_t i = 0; i < x.size(); ++i) {
        if (std::isnan(x[i]) || std::isnan(y[i])) continue;
        bool dominated = false;
        for (std::size_t j = 0; j < x.size(); ++j) {
            dominated |= x[j] <= x[i] && y[j] <= y[i] && (x[j] < x[i] || y[j] < y[i]);
        }
        if (!dominated) front.push_back(i);
    }
    return front;
}

TEST(Pareto, EqualsBruteForceOnRandomPoints) {
    std::mt19937 rng(7);
    const double special[] = {kUnknown, kInf, -kInf, 0.0, -0.0};
    std::size_t on_fronts = 0, points = 0;
    for (int round = 0; round < 4000; ++round) {
        const std::size_t n = rng() % 24;
        const unsigned values = 1 + rng() % 9;  // few distinct values: many ties
        std::vector<double> x(n), y(n);
        for (std::size_t i = 0; i < n; ++i) {
            x[i] = rng() % 8 == 0 ? special[rng() % 5] : static_cast<double>(rng() % values) - 2;
            y[i] = rng() % 8 == 0 ? special[rng() % 5] : static_cast<double>(rng() % values) - 2;
        }
        std::vector<std::size_t> got = pareto_front(x, y);
        for (std::size_t i = 1; i < got.size(); ++i) EXPECT_LE(x[got[i - 1]], x[got[i]]);
        std::sort(got.begin(), got.end());
        ASSERT_EQ(got, brute_force(x, y)) << "round " << round;
        on_fronts += got.size();
        points += n;
    }
    EXPECT_GT(on_fronts, 0u);
    EXPECT_LT(on_fronts, points);
}

// A dashboard marked (3,3) as not dominated by (1,1) (reference desktop.md, end of section 2).
TEST(Pareto, KnownTrapOfOthers) {
    const std::vector<double> x = {1, 2, 3}, y = {1, 5, 3};
    EXPECT_EQ(pareto_front(x, y), (std::vector<std::size_t>{0}));
}

TEST(Pareto, EqualPointsAreBothKept) {
    const std::vector<double> x = {2, 1, 1, 2}, y = {1, 2, 2, 1};
    EXPECT_EQ(pareto_front(x, y), (std::vector<std::size_t>{1, 2, 0, 3}));
}

TEST(Pareto, EmptyAndAllUnknown) {
    EXPECT_TRUE(pareto_front({}, {}).empty());
    const std::vector<double> nan = {kUnknown, kUnknown}, one = {1, 2};
    EXPECT_TRUE(pareto_front(nan, one).empty());
    EXPECT_TRUE(pareto_front(one, nan).empty());
}

}  // namespace
}  // namespace tenpak::optimizer

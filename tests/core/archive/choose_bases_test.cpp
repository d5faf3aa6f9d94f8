// SPDX-License-Identifier: Apache-2.0
#include "core/archive/choose_bases.h"

#include <gtest/gtest.h>

#include <cmath>
#include <random>

namespace tenpak::archive {
namespace {

using Table = std::vector<std::vector<double>>;

double total_of(const BaseChoice& c, const std::vector<double>& alone, const Table& delta) {
    double t = 0;
    for (std::size_t i = 0; i < alone.size(); ++i) t += c.base[i] ? delta[*c.base[i]][i] : alone[i];
    return t;
}
void expect_depth_one(const BaseChoice& c) {
    for (const auto& b : c.base) {
        if (!b) continue;
        EXPECT_FALSE(c.base[*b].has_value()) << "a base is itself a delta";
    }
}

TEST(ChooseBases, TheCentreOfAStarStays) {
    const std::vector<double> alone(4, 100);
    Table d(4, std::vector<double>(4, 60));
    for (std::size_t i = 0; i < 4; ++i) d[2][i] = d[i][2] = 30;
    const BaseChoice c = choose_bases(alone, d, std::vector<bool>(4), {4, 3, 2, 1});
    EXPECT_FALSE(c.base[2].has_value());
    for (const std::size_t i : {0u, 1u, 3u}) EXPECT_EQ(c.base[i], 2u);
    EXPECT_DOUBLE_EQ(c.total, 190);
}

TEST(ChooseBases, TwoFamiliesHaveTwoBasesAndAStrangerStays) {
    const std::vector<double> alone(5, 100);
    Table d(5, std::vector<double>(5, kNoDelta));
    d[0][1] = d[1][0] = 20;
    d[2][3] = d[3][2] = 30;
    const BaseChoice c = choose_bases(alone, d, std::vector<bool>(5), {1, 2, 9, 3, 4});
    EXPECT_EQ(c.base[1], 0u) << "of two alike, the older one stays";
    EXPECT_FALSE(c.base[0].has_value());
    EXPECT_EQ(c.base[2], 3u);
    EXPECT_FALSE(c.base[4].has_value());
    EXPECT_DOUBLE_EQ(c.total, 100 + 20 + 100 + 30 + 100);
}

TEST(ChooseBases, WhatMustStayStays) {
    const std::vector<double> alone(3, 100);
    const Table d(3, std::vector<double>(3, 10));
    const BaseChoice c = choose_bases(alone, d, {false, true, false}, {1, 2, 3});
    EXPECT_FALSE(c.base[1].has_value());
    EXPECT_EQ(c.base[0], 1u);
    EXPECT_EQ(c.base[2], 1u);
    const BaseChoice all = choose_bases(alone, d, {true, true, true}, {1, 2, 3});
    for (const auto& b : all.base) EXPECT_FALSE(b.has_value());
}

// A base that only one side can use, and a chain a-b-c where the middle must serve both ends rather than be a delta itself.
TEST(ChooseBases, AChainIsServedFromItsMiddle) {
    const std::vector<double> alone(3, 100);
    Table d(3, std::vector<double>(3, kNoDelta));
    d[0][1] = d[1][0] = d[1][2] = d[2][1] = 25;
    const BaseChoice c = choose_bases(alone, d, std::vector<bool>(3), {1, 2, 3});
    expect_depth_one(c);
    EXPECT_DOUBLE_EQ(c.total, 150);
}

TEST(ChooseBases, RandomFamiliesAreDepthOneAndNeverWorseThanOneBase) {
    std::mt19937 g(7);
    std::uniform_real_distribution<double> u(5, 120);
    for (const std::size_t n : {6u, 12u, 40u}) {
        for (int round = 0; round < 10; ++round) {
            std::vector<double> alone(n);
            std::vector<bool> must(n);
            for (std::size_t i = 0; i < n; ++i) alone[i] = u(g), must[i] = g() % 5 == 0;
            Table d(n, std::vector<double>(n, kNoDelta));
            for (auto& row : d)
                for (double& x : row)
                    if (g() % 3 != 0) x = u(g);
            const BaseChoice c = choose_bases(alone, d, must, std::vector<std::int64_t>(n));
            expect_depth_one(c);
            EXPECT_NEAR(c.total, total_of(c, alone, d), 1e-9);
            double nothing = 0;
            for (std::size_t i = 0; i < n; ++i) {
                nothing += alone[i];
                EXPECT_TRUE(!must[i] || !c.base[i]);
            }
            EXPECT_LE(c.total, nothing + 1e-9);
        }
    }
}

}  // namespace
}  // namespace tenpak::archive

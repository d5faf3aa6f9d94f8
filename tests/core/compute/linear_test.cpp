// SPDX-License-Identifier: Apache-2.0
// Every kernel level against a double-precision product of the dequantized weight.
#include <gtest/gtest.h>

#include "tests/core/compute/levels.h"
#include "tests/core/compute/weights.h"

namespace {

using namespace tenpak;
using namespace tenpak::compute;
using namespace tenpak::test;

struct Shape {
    std::uint32_t n, k, group;
};

// Rounding of fp32 sums; on VNNI the activations of grouped weights are 16-bit integers.
double tolerance(WeightFormat f, const std::string& level) {
    const bool int16 = (f == WeightFormat::kInt4Group || f == WeightFormat::kInt8Group) && (level == "vnni" || level == "amx");
    return int16 ? 4e-5 : 2e-6;
}

TEST(Linear, EveryFormatShapeAndLevelMatchesDouble) {
    const WeightFormat formats[] = {WeightFormat::kF32, WeightFormat::kBF16, WeightFormat::kF16, WeightFormat::kInt8Channel,
                                    WeightFormat::kInt8Group, WeightFormat::kInt4Group};
    const Shape shapes[] = {{16, 32, 32}, {1, 2, 2}, {37, 96, 32}, {200, 172, 4}, {129, 300, 50}, {64, 512, 128}, {96, 640, 0}, {48, 180, 18}};
    const std::uint32_t tokens[] = {1, 2, 3, 5, 8, 9, 17, 33, 70};
    int checked = 0;
    for (const auto& [level, features] : cpu_levels()) {
        auto backend = make_cpu_backend(2, features);
        for (const WeightFormat f : formats) {
            for (const Shape& s : shapes) {
                const LinearWeight w = random_weight(f, s.n, s.k, s.group, s.n + s.k, s.n % 2 == 1);
                auto packed = backend->make_linear(w);
                ASSERT_TRUE(packed.ok()) << packed.error().text();
                EXPECT_EQ((*packed)->n(), s.n);
                EXPECT_EQ((*packed)->k(), s.k);
                for (const std::uint32_t t : tokens) {
                    const auto x = random_floats(std::size_t{t} * s.k, t);
                    std::vector<float> y(std::size_t{t} * s.n + 8, -77.0f);
                    backend->linear(**packed, x.data(), t, y.data());
                    const auto want = reference_linear(w, x, t);
                    EXPECT_LT(relative_error(y, want), tolerance(f, level))
                        << level << " " << (*packed)->kernel() << " " << s.n << "x" << s.k << " tokens " << t;
                    for (std::size_t i = want.size(); i < y.size(); ++i) ASSERT_EQ(y[i], -77.0f) << "written behind the end";
                    ++checked;
                }
            }
        }
    }
    EXPECT_GE(checked, 6 * 8 * 9);
}

TEST(Linear, ResultsDoNotDependOnThreads) {
    for (const auto& [level, features] : cpu_levels()) {
        auto one = make_cpu_backend(1, features), three = make_cpu_backend(3, features);
        for (const WeightFormat f : {WeightFormat::kBF16, WeightFormat::kF16, WeightFormat::kInt8Channel, WeightFormat::kInt8Group, WeightFormat::kInt4Group}) {
            const LinearWeight w = random_weight(f, 328, 256, 64, 5);
            auto a = one->make_linear(w), b = three->make_linear(w);
            ASSERT_TRUE(a.ok() && b.ok());
            for (const std::uint32_t t : {1u, 4u, 16u, 65u}) {
                const auto x = random_floats(std::size_t{t} * w.k, 9);
                std::vector<float> ya(std::size_t{t} * w.n), yb(ya.size());
                one->linear(**a, x.data(), t, ya.data());
                three->linear(**b, x.data(), t, yb.data());
                EXPECT_EQ(ya, yb) << level << " " << weight_format_name(f) << " tokens " << t;
            }
        }
    }
}

TEST(Linear, ScalesThatNeedFp16OrFp32) {
    for (const float odd : {1.0f + 0x1p-10f, 1.0f + 0x1p-20f}) {
        for (const auto& [level, features] : cpu_levels()) {
            auto backend = make_cpu_backend(1, features);
            LinearWeight w = random_weight(WeightFormat::kInt4Group, 40, 128, 32, 3);
            for (float& s : w.scales) s = 0x1p-6f * odd;
            auto packed = backend->make_linear(w);
            ASSERT_TRUE(packed.ok());
            for (const std::uint32_t t : {1u, 20u}) {
                const auto x = random_floats(std::size_t{t} * w.k, 1);
                std::vector<float> y(std::size_t{t} * w.n);
                backend->linear(**packed, x.data(), t, y.data());
                EXPECT_LT(relative_error(y, reference_linear(w, x, t)), tolerance(w.format, level)) << level << " tokens " << t;
            }
        }
    }
}

TEST(Linear, Int8IsTheSameOnEveryLevel) {
    const LinearWeight w = random_weight(WeightFormat::kInt8Channel, 70, 1000, 0, 8);
    const auto x = random_floats(33 * 1000, 2);
    std::vector<std::vector<float>> results;
    for (const auto& [level, features] : cpu_levels()) {
        auto backend = make_cpu_backend(2, features);
        auto packed = backend->make_linear(w);
        ASSERT_TRUE(packed.ok());
        results.emplace_back(33 * 70);
        backend->linear(**packed, x.data(), 33, results.back().data());
        EXPECT_LT(relative_error(results.back(), results.front()), 2e-7) << level;
    }
}

TEST(LinearWeight, RefusesWhatDoesNotFit) {
    auto backend = make_cpu_backend(1);
    LinearWeight w = random_weight(WeightFormat::kInt4Group, 8, 64, 32, 1);
    w.zeros.pop_back();
    EXPECT_EQ(backend->make_linear(w).error().code, ErrorCode::kMalformed);
    w = random_weight(WeightFormat::kInt4Group, 8, 64, 32, 1);
    w.group = 48;
    EXPECT_EQ(w.validate("x").error().code, ErrorCode::kMalformed);
    w = random_weight(WeightFormat::kInt8Channel, 8, 64, 0, 1);
    w.scales[3] = std::nanf("");
    EXPECT_EQ(w.validate("x").error().code, ErrorCode::kNumeric);
    w = random_weight(WeightFormat::kBF16, 8, 64, 0, 1);
    w.half.pop_back();
    EXPECT_EQ(w.validate("x").error().code, ErrorCode::kMalformed);
    EXPECT_EQ(LinearWeight{}.validate("x").error().code, ErrorCode::kMalformed);
}

TEST(LinearWeight, StoredBytes) {
    EXPECT_EQ(random_weight(WeightFormat::kBF16, 8, 64, 0, 1).stored_bytes(), 8u * 64 * 2);
    EXPECT_EQ(random_weight(WeightFormat::kInt8Channel, 8, 64, 0, 1).stored_bytes(), 8u * 64 + 8 * 2);
    // 4 bits, a 16-bit scale and half a byte of zero point per group.
    EXPECT_EQ(random_weight(WeightFormat::kInt4Group, 8, 64, 32, 1).stored_bytes(), 8u * 32 + 16 * 2 + 8);
}

}  // namespace

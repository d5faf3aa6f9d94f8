// SPDX-License-Identifier: Apache-2.0
// Every kernel level against a double-precision product of the dequantized weight.
#include <gtest/gtest.h>

#include "core/compute/cpu/onednn_product.h"
#include "tests/core/compute/levels.h"
#include "tests/core/compute/weights.h"

namespace {

using namespace tenpak;
using namespace tenpak::compute;
using namespace tenpak::test;

struct Shape {
    std::uint32_t n, k, group;
};

bool can_hold(WeightFormat f, const Shape& s) {
    if (f == WeightFormat::kInt4Residual) return s.k % 4 == 0;
    return f != WeightFormat::kInt4Sparse || (s.group == 0 ? s.k : s.group) % 8 == 0;
}

// Rounding of fp32 sums; on VNNI the activations of grouped weights are 16-bit integers.
double tolerance(WeightFormat f, const std::string& level) {
    const bool integer = f == WeightFormat::kInt4Group || f == WeightFormat::kInt8Group || f == WeightFormat::kInt4Residual || f == WeightFormat::kInt4Sparse;
    return integer && (level == "vnni" || level == "vnni alone" || level == "amx") ? 4e-5 : 2e-6;
}

TEST(Linear, EveryFormatShapeAndLevelMatchesDouble) {
    const WeightFormat formats[] = {WeightFormat::kF32,       WeightFormat::kBF16,         WeightFormat::kF16,        WeightFormat::kInt8Channel, WeightFormat::kInt8Group,
                                    WeightFormat::kInt4Group, WeightFormat::kInt4Residual, WeightFormat::kInt4Sparse, WeightFormat::kNf4Group,    WeightFormat::kFp8Channel};
    const Shape shapes[] = {{16, 32, 32}, {1, 2, 2}, {37, 96, 32}, {200, 172, 4}, {129, 300, 50}, {64, 512, 128}, {96, 640, 0}, {48, 180, 18}, {41, 576, 64}};
    const std::uint32_t tokens[] = {1, 2, 3, 5, 8, 9, 17, 33, 70};
    int checked = 0;
    for (const auto& [level, features] : cpu_levels()) {
        auto backend = make_cpu_backend(2, features);
        for (const WeightFormat f : formats) {
            for (const Shape& s : shapes) {
                if (!can_hold(f, s)) continue;
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
    EXPECT_GE(checked, 9 * 6 * 9);
}

// Every number of tokens ends in another kernel or another remainder of a block.
TEST(Linear, EveryNumberOfTokens) {
    constexpr std::uint32_t kTokens = 70;
    for (const auto& [level, features] : cpu_levels()) {
        for (const Activations activations : {Activations::kExact, Activations::kNative}) {
            auto backend = make_cpu_backend(CpuOptions{2, activations}, features);
            for (const WeightFormat f : {WeightFormat::kBF16, WeightFormat::kInt8Channel, WeightFormat::kInt8Group, WeightFormat::kInt4Group, WeightFormat::kInt4Residual,
                                         WeightFormat::kInt4Sparse, WeightFormat::kNf4Group, WeightFormat::kFp8Channel}) {
                const LinearWeight w = random_weight(f, 83, 96, 32, 11, true);
                const auto packed = backend->make_linear(w);
                ASSERT_TRUE(packed.ok());
                const auto x = random_floats(std::size_t{kTokens} * w.k, 4);
                const auto want = reference_linear(w, x, kTokens);
                // One token times bf16 is exact in either mode, the rest is within what rounding x to 8 bits does (0.2 % of a group's top).
                for (std::uint32_t t = 1; t <= kTokens; ++t) {
                    std::vector<float> y(std::size_t{t} * w.n + 4, -77.0f);
                    backend->linear(**packed, x.data(), t, y.data());
                    const bool rounded = activations == Activations::kNative && f != WeightFormat::kInt8Channel && f != WeightFormat::kFp8Channel && (t > 1 || f != WeightFormat::kBF16);
                    EXPECT_LT(relative_error(y, std::vector<double>(want.begin(), want.begin() + std::ptrdiff_t{t} * w.n)), rounded ? 1e-2 : tolerance(f, level))
                        << level << " " << (*packed)->kernel() << " tokens " << t;
                    for (std::size_t i = std::size_t{t} * w.n; i < y.size(); ++i) ASSERT_EQ(y[i], -77.0f) << "written behind the end";
                }
            }
        }
    }
}

/// x in whole numbers with 127 in every group: its scale is 1, so that sums of codes and products are exact in fp32.
std::vector<float> whole_numbers(std::size_t tokens, std::uint32_t k, std::uint32_t group) {
    std::mt19937 rng(5);
    std::vector<float> x(tokens * k);
    for (std::size_t i = 0; i < x.size(); ++i) x[i] = i % group == 0 ? 127.0f : static_cast<float>(static_cast<int>(rng() % 255) - 127);
    return x;
}

TEST(Linear, EightBitActivationsEqualIntegerSums) {
    for (const auto& [level, features] : cpu_levels()) {
        if (!features.avx512_vnni) continue;
        auto backend = make_cpu_backend(CpuOptions{2, Activations::kNative}, features);
        for (const Shape& s : {Shape{37, 96, 32}, {200, 172, 4}, {129, 300, 50}, {64, 512, 128}, {96, 640, 0}, {48, 4352, 64}}) {
            for (const WeightFormat f : {WeightFormat::kInt4Group, WeightFormat::kInt8Group, WeightFormat::kInt4Residual, WeightFormat::kInt4Sparse}) {
                if (!can_hold(f, s)) continue;
                for (const bool symmetric : {true, false}) {
                    LinearWeight w = random_weight(f, s.n, s.k, s.group, s.k);
                    for (float& scale : w.scales) scale = 0.25f;
                    if (symmetric) std::fill(w.zeros.begin(), w.zeros.end(), static_cast<std::uint8_t>(f == WeightFormat::kInt4Group ? 8 : 32));
                    const auto packed = backend->make_linear(w);
                    ASSERT_TRUE(packed.ok());
                    EXPECT_NE(std::string((*packed)->kernel()).find("8-bit activations"), std::string::npos) << (*packed)->kernel();
                    for (const std::uint32_t t : {1u, 2u, 7u, 12u, 13u, 30u}) {
                        const auto x = whole_numbers(t, s.k, s.group == 0 ? s.k : s.group);
                        std::vector<float> y(std::size_t{t} * s.n);
                        backend->linear(**packed, x.data(), t, y.data());
                        const auto want = reference_linear(w, x, t);
                        // Sums stay below 2^24 quarters (random signs): nothing is rounded anywhere.
                        if (f == WeightFormat::kInt4Group || s.k <= 640) {
                            for (std::size_t i = 0; i < y.size(); ++i) ASSERT_EQ(double{y[i]}, want[i]) << level << " " << s.n << "x" << s.k << " tokens " << t << " at " << i;
                        } else {
                            EXPECT_LT(relative_error(y, want), 1e-6);
                        }
                    }
                }
            }
        }
    }
}

TEST(Linear, EightBitActivationsRoundHalfToEvenPerTokenAndGroup) {
    for (const auto& [level, features] : cpu_levels()) {
        if (!features.avx512_vnni) continue;
        auto backend = make_cpu_backend(CpuOptions{2, Activations::kNative}, features);
        for (const WeightFormat f : {WeightFormat::kInt4Group, WeightFormat::kInt4Residual, WeightFormat::kInt4Sparse, WeightFormat::kNf4Group}) {
            for (const bool nested : {false, true}) {
                if (nested && f != WeightFormat::kNf4Group) continue;
                LinearWeight w = random_weight(f, 50, 1536, 32, 9, true);
                if (nested) nest_scales(w, 2);
                const auto packed = backend->make_linear(w);
                ASSERT_TRUE(packed.ok());
                EXPECT_NE(std::string((*packed)->kernel()).find("8-bit activations"), std::string::npos) << (*packed)->kernel();
                for (const std::uint32_t t : {1u, 2u, 5u, 12u, 30u}) {
                    auto x = random_floats(std::size_t{t} * w.k, 6);
                    std::fill(x.begin() + 32, x.begin() + 64, 0.0f);  // a group of zeros
                    std::vector<float> y(std::size_t{t} * w.n);
                    backend->linear(**packed, x.data(), t, y.data());
                    auto rounded = x;
                    for (std::size_t g = 0; g < x.size() / 32; ++g) {
                        float top = 0;
                        for (std::size_t c = 0; c < 32; ++c) top = std::max(top, std::fabs(x[g * 32 + c]));
                        for (std::size_t c = 0; c < 32; ++c) rounded[g * 32 + c] = top > 0 ? std::nearbyint(x[g * 32 + c] * (127.0f / top)) * (top / 127.0f) : 0.0f;
                    }
                    // nf4's values are rounded to 16 bits: 1/65534 at most, where values are 0.4 on the average.
                    EXPECT_LT(relative_error(y, reference_linear(w, rounded, t)), f == WeightFormat::kNf4Group ? 4e-5 : 1e-6) << level << " " << (*packed)->kernel() << " tokens " << t;
                }
            }
        }
    }
}

TEST(Linear, Bf16ActivationsAreRoundedToNearest) {
    for (const auto& [level, features] : cpu_levels()) {
        if (!features.avx512_bf16) continue;
        for (const bool onednn : {false, true}) {
            // oneDNN is what an AMX machine multiplies by; here it computes with AVX-512 BF16 where there is no AMX.
            auto backend = make_cpu_backend(CpuOptions{2, Activations::kNative, onednn}, features);
            for (const Shape& s : {Shape{16, 32, 0}, {1, 2, 0}, {37, 97, 0}, {200, 1100, 0}, {529, 2100, 0}}) {
                const LinearWeight w = random_weight(WeightFormat::kBF16, s.n, s.k, 0, s.n, s.n % 2 == 1);
                const auto packed = backend->make_linear(w);
                ASSERT_TRUE(packed.ok());
                EXPECT_NE(std::string((*packed)->kernel()).find("bf16 activations"), std::string::npos) << (*packed)->kernel();
                EXPECT_EQ(std::string((*packed)->kernel()).find("oneDNN") != std::string::npos, (onednn && cpu::has_onednn()) || features.amx_bf16) << (*packed)->kernel();
                for (const std::uint32_t t : {2u, 5u, 12u, 31u}) {
                    const auto x = random_floats(std::size_t{t} * s.k, t);
                    auto rounded = x;
                    for (float& f : rounded) f = bf16_to_float(float_to_bf16(f));
                    std::vector<float> y(std::size_t{t} * s.n);
                    backend->linear(**packed, x.data(), t, y.data());
                    EXPECT_LT(relative_error(y, reference_linear(w, rounded, t)), 2e-6) << level << " " << s.n << "x" << s.k << " tokens " << t;
                }
            }
        }
    }
}

TEST(Linear, ProductsOfTheSameActivationsEqualSingleOnes) {
    for (const auto& [level, features] : cpu_levels()) {
        for (const Activations activations : {Activations::kExact, Activations::kNative}) {
            auto backend = make_cpu_backend(CpuOptions{2, activations}, features);
            std::vector<LinearWeight> weights;
            for (const std::uint32_t n : {576u, 192u, 193u}) weights.push_back(random_weight(WeightFormat::kInt4Group, n, 256, 32, n));
            weights.push_back(random_weight(WeightFormat::kInt4Group, 64, 256, 64, 1));  // other groups: packed by itself
            for (const std::uint32_t n : {100u, 40u, 700u}) weights.push_back(random_weight(WeightFormat::kBF16, n, 256, 0, n, true));
            std::vector<std::unique_ptr<PackedLinear>> packed;
            for (const LinearWeight& w : weights) packed.push_back(std::move(*backend->make_linear(w)));
            for (const std::uint32_t t : {1u, 3u, 40u}) {
                const auto x = random_floats(std::size_t{t} * 256, t);
                std::vector<std::vector<float>> y, single;
                std::vector<LinearProduct> products;
                for (const auto& w : packed) {
                    y.emplace_back(std::size_t{t} * w->n());
                    single.emplace_back(y.back().size());
                    backend->linear(*w, x.data(), t, single.back().data());
                }
                for (std::size_t i = 0; i < packed.size(); ++i) products.push_back({packed[i].get(), y[i].data()});
                backend->linear_all(products, x.data(), t);
                EXPECT_EQ(y, single) << level << " tokens " << t;
            }
        }
    }
}

TEST(Linear, ResultsDoNotDependOnThreads) {
    for (const auto& [level, features] : cpu_levels()) {
        auto one = make_cpu_backend(1, features), three = make_cpu_backend(3, features);
        for (const WeightFormat f : {WeightFormat::kBF16, WeightFormat::kF16, WeightFormat::kInt8Channel, WeightFormat::kInt8Group, WeightFormat::kInt4Group,
                                     WeightFormat::kInt4Residual, WeightFormat::kInt4Sparse, WeightFormat::kNf4Group, WeightFormat::kFp8Channel}) {
            LinearWeight w = random_weight(f, 328, 256, 64, 5);
            if (f == WeightFormat::kInt8Channel) w.outlier_threshold = 2.0f;
            if (f == WeightFormat::kInt4Group) shuffle_groups(w, 3);
            if (f == WeightFormat::kNf4Group) nest_scales(w, 3);
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

TEST(Linear, Nf4WithDoublyQuantizedScales) {
    for (const auto& [level, features] : cpu_levels()) {
        auto backend = make_cpu_backend(2, features);
        // Rows that begin within a nested scale's 256, one row of more than 256 groups, groups in whole fours and not.
        for (const Shape& s : {Shape{41, 576, 64}, {100, 512, 64}, {19, 2304, 8}, {33, 4416, 16}, {64, 4096, 64}}) {
            LinearWeight w = random_weight(WeightFormat::kNf4Group, s.n, s.k, s.group, s.n, true);
            nest_scales(w, s.k);
            ASSERT_TRUE(w.validate("w").ok());
            auto packed = backend->make_linear(w);
            ASSERT_TRUE(packed.ok());
            EXPECT_NE(std::string((*packed)->kernel()).find("8-bit scales"), std::string::npos) << (*packed)->kernel();
            if (s.n == 64) {
                EXPECT_LT(static_cast<double>((*packed)->bytes() - s.n * 4) * 8 / s.n / s.k, 4.14);  // without the bias
            }
            for (const std::uint32_t t : {1u, 3u, 20u}) {
                const auto x = random_floats(std::size_t{t} * s.k, t);
                std::vector<float> y(std::size_t{t} * s.n);
                backend->linear(**packed, x.data(), t, y.data());
                EXPECT_LT(relative_error(y, reference_linear(w, x, t)), 2e-6) << level << " " << s.n << "x" << s.k << " tokens " << t;
            }
        }
        // Codes of a map that is not the known one: the scales themselves are taken.
        LinearWeight w = random_weight(WeightFormat::kNf4Group, 40, 256, 64, 1);
        nest_scales(w, 1);
        for (float& s : w.scales) s *= 1.01f;
        auto packed = backend->make_linear(w);
        ASSERT_TRUE(packed.ok());
        const auto x = random_floats(256, 1);
        std::vector<float> y(40);
        backend->linear(**packed, x.data(), 1, y.data());
        EXPECT_LT(relative_error(y, reference_linear(w, x, 1)), 2e-6) << level;
    }
}

TEST(Linear, EveryCodeOfFp8AndItsActivations) {
    LinearWeight w = random_weight(WeightFormat::kFp8Channel, 16, 256, 0, 1);
    for (std::size_t i = 0; i < w.codes.size(); ++i) {
        const std::size_t code = (i + i / 256) % 256;  // every code in every row, with another x
        w.codes[i] = static_cast<std::uint8_t>((code & 0x7f) == 0x7f ? 0 : code);
    }
    for (const auto& [level, features] : cpu_levels()) {
        auto backend = make_cpu_backend(1, features);
        const auto packed = backend->make_linear(w);
        ASSERT_TRUE(packed.ok());
        EXPECT_NE(std::string((*packed)->kernel()).find("e4m3 activations"), std::string::npos) << (*packed)->kernel();
        // One column after the other against one activation, and activations over many powers of two.
        for (std::uint32_t c = 0; c < w.k; ++c) {
            std::vector<float> x(w.k, 0.0f), y(w.n);
            x[c] = 3.0f;
            backend->linear(**packed, x.data(), 1, y.data());
            const auto want = reference_linear(w, x, 1);
            for (std::size_t r = 0; r < w.n; ++r) ASSERT_NEAR(double{y[r]}, want[r], 1e-6 * std::fabs(want[r])) << level << " row " << r << " column " << c;
        }
        auto x = random_floats(std::size_t{14} * w.k, 6);
        for (std::size_t i = 0; i < x.size(); ++i) x[i] = std::ldexp(x[i], -static_cast<int>(i % 20));  // down to subnormals and zero
        std::fill(x.begin(), x.begin() + w.k, 0.0f);
        std::vector<float> y(std::size_t{14} * w.n);
        backend->linear(**packed, x.data(), 14, y.data());
        EXPECT_LT(relative_error(y, reference_linear(w, x, 14)), 2e-6) << level;
    }
}

TEST(Linear, OutliersAreMultipliedExactly) {
    for (const auto& [level, features] : cpu_levels()) {
        auto backend = make_cpu_backend(2, features);
        for (const Shape& s : {Shape{37, 96, 0}, {200, 577, 0}}) {
            LinearWeight w = random_weight(WeightFormat::kInt8Channel, s.n, s.k, 0, s.n, s.n % 2 == 1);
            w.outlier_threshold = 6.0f;
            const auto packed = backend->make_linear(w);
            ASSERT_TRUE(packed.ok());
            EXPECT_NE(std::string((*packed)->kernel()).find("outliers in fp32"), std::string::npos) << (*packed)->kernel();
            for (const std::uint32_t t : {1u, 2u, 11u, 40u}) {
                auto x = random_floats(std::size_t{t} * s.k, t);
                for (std::uint32_t i = 0; i < t; ++i) {
                    if (i % 3 == 2) continue;  // no outlier
                    x[i * s.k + 5] = 61.7f;
                    x[i * s.k + s.k - 1] = -6.0f;
                    x[i * s.k + 33 + i] = 19.3f;
                }
                std::vector<float> y(std::size_t{t} * s.n + 4, -77.0f);
                backend->linear(**packed, x.data(), t, y.data());
                EXPECT_LT(relative_error(y, reference_linear(w, x, t)), 2e-6) << level << " tokens " << t;
                for (std::size_t i = std::size_t{t} * s.n; i < y.size(); ++i) ASSERT_EQ(y[i], -77.0f) << "written behind the end";
                if (t != 40) continue;
                // A token's result does not depend on the others'.
                std::vector<float> one(s.n);
                backend->linear(**packed, x.data() + 7 * s.k, 1, one.data());
                EXPECT_LT(relative_error(one, std::vector<float>(y.begin() + 7 * s.n, y.begin() + 8 * s.n)), 1e-6) << level;
            }
        }
    }
}

TEST(Linear, GroupsThatAreNoNeighbours) {
    for (const auto& [level, features] : cpu_levels()) {
        auto backend = make_cpu_backend(2, features);
        for (const WeightFormat f : {WeightFormat::kInt4Group, WeightFormat::kInt8Group, WeightFormat::kInt4Residual, WeightFormat::kNf4Group}) {
            for (const Shape& s : {Shape{37, 96, 32}, {129, 300, 50}, {48, 576, 64}}) {
                LinearWeight w = random_weight(f, s.n, s.k, s.group, s.n);
                shuffle_groups(w, s.n);
                LinearWeight same = random_weight(f, s.n + 5, s.k, s.group, 7), other = same;
                same.group_index = w.group_index;
                shuffle_groups(other, 1);
                std::vector<std::unique_ptr<PackedLinear>> packed;
                for (const LinearWeight* each : {&w, &same, &other}) packed.push_back(std::move(*backend->make_linear(*each)));
                for (const std::uint32_t t : {1u, 4u, 30u}) {
                    const auto x = random_floats(std::size_t{t} * s.k, t);
                    std::vector<float> y[3];
                    std::vector<LinearProduct> products;
                    for (std::size_t i = 0; i < 3; ++i) {
                        y[i].resize(std::size_t{t} * packed[i]->n());
                        products.push_back({packed[i].get(), y[i].data()});
                    }
                    backend->linear_all(products, x.data(), t);
                    EXPECT_LT(relative_error(y[0], reference_linear(w, x, t)), tolerance(f, level)) << level << " " << packed[0]->kernel() << " tokens " << t;
                    EXPECT_LT(relative_error(y[1], reference_linear(same, x, t)), tolerance(f, level)) << level << " " << packed[1]->kernel() << " tokens " << t;
                    EXPECT_LT(relative_error(y[2], reference_linear(other, x, t)), tolerance(f, level)) << level << " " << packed[2]->kernel() << " tokens " << t;
                }
            }
        }
    }
}

TEST(Linear, PackedWeightsTakeTheBitsOfTheirFormat) {
    auto backend = make_cpu_backend(1);
    const auto bits = [&](WeightFormat f, std::uint32_t group) {
        const LinearWeight w = random_weight(f, 64, 1024, group, 1);
        return static_cast<double>((*backend->make_linear(w))->bytes()) * 8 / w.n / w.k;
    };
    EXPECT_EQ(bits(WeightFormat::kInt4Group, 128), 4.25);
    EXPECT_EQ(bits(WeightFormat::kInt4Residual, 128), 6.25);
    EXPECT_EQ(bits(WeightFormat::kInt4Sparse, 128), 6.25);
    EXPECT_EQ(bits(WeightFormat::kNf4Group, 64), 4.5);  // fp32 scales
    EXPECT_EQ(bits(WeightFormat::kFp8Channel, 0), 8 + 32.0 / 1024);
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

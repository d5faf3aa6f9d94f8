// SPDX-License-Identifier: Apache-2.0
#include "core/delta/low_rank_recover.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <random>

#include "core/delta/low_rank_fit.h"
#include "tests/core/delta/low_rank_pair.h"
#include "tests/core/delta/synthetic.h"

namespace tenpak::delta {
namespace {

using test::LowRankPair;
using test::LowRankShape;

/// Checks that the recovered factors predict what was said, and returns the bits a weight that they and the residual
/// take.
double recovered_bits(const LowRankShape& shape, std::uint32_t* rank = nullptr) {
    const LowRankPair p(shape);
    RecoverOptions options;
    options.threads = 2;
    const auto r = recover_low_rank(p.pair(), options, {});
    EXPECT_TRUE(r.ok());
    if (!r.ok() || !*r) return 1e9;
    const Recovered& got = **r;
    if (rank != nullptr) *rank = got.factors.rank;
    const double weights = static_cast<double>(shape.rows) * shape.columns;
    const auto predictor = LowRankPredictor::make(got.factors);
    EXPECT_TRUE(predictor.ok());
    Bytes predicted(p.base.size());
    EXPECT_TRUE(predictor->predict(0, p.base, p.kind(), predicted, {}).ok());
    double wrong = 0;
    const std::size_t width = weight_width(p.kind());
    for (std::size_t i = 0; i < predicted.size(); i += width)
        wrong += std::memcmp(predicted.data() + i, p.fine_tune.data() + i, width) != 0 ? 1 : 0;
    EXPECT_NEAR(wrong / weights, got.residual_fraction, 0.15 * got.residual_fraction + 0.003);
    const Bytes stored = factors_encode(got.factors);
    EXPECT_NEAR(8.0 * static_cast<double>(stored.size()), got.factor_bits, 0.03 * got.factor_bits + 400);
    EXPECT_LT(got.factor_bits + got.residual_bits, got.difference_bits);
    return (8.0 * static_cast<double>(stored.size()) + got.residual_bits) / weights;
}

TEST(LowRankRecovery, FindsMergedAdapters) {
    std::uint32_t rank = 0;
    EXPECT_LT(recovered_bits({.rows = 512, .columns = 512, .rank = 8}, &rank), 0.42);
    EXPECT_EQ(rank, 8u);
    EXPECT_LT(recovered_bits({.rows = 512, .columns = 512, .rank = 8, .product = MergeRounding::kBf16}, &rank), 0.43);
    EXPECT_EQ(rank, 8u);
    EXPECT_LT(recovered_bits({.rows = 1024, .columns = 700, .rank = 16}, &rank), 0.55);
    EXPECT_EQ(rank, 16u);
    EXPECT_LT(recovered_bits({.rows = 301, .columns = 1517, .rank = 4, .alpha = 0.03}, &rank), 0.35);
    EXPECT_EQ(rank, 4u);
    EXPECT_LT(recovered_bits({.rows = 200, .columns = 333, .rank = 1}, &rank), 0.30);
    EXPECT_LE(rank, 2u);
    EXPECT_LT(recovered_bits({.rows = 700, .columns = 900, .rank = 32}, &rank), 1.25);
    EXPECT_EQ(rank, 32u);
    EXPECT_LT(recovered_bits({.rows = 1024, .columns = 1024, .rank = 64, .decay = 0.98}, &rank), 1.4);
    EXPECT_EQ(rank, 64u);
}

TEST(LowRankRecovery, SmallChangesAndOtherTypes) {
    EXPECT_LT(recovered_bits({.rows = 768, .columns = 768, .rank = 8, .alpha = 0.002}), 0.27);
    EXPECT_LT(recovered_bits({.rows = 512, .columns = 768, .rank = 8, .type = DType::kF16}), 0.50);
    EXPECT_LT(
        recovered_bits({.rows = 512, .columns = 768, .rank = 8, .product = MergeRounding::kFp16, .type = DType::kF16}),
        0.50);
    // fp32 rounds so finely that 16-bit integers leave some bits of each weight; the plain difference takes 19.
    EXPECT_LT(recovered_bits({.rows = 512, .columns = 768, .rank = 8, .type = DType::kF32}), 9.0);
}

TEST(LowRankRecovery, RowsThatDidNotChange) {
    const LowRankShape shape{.rows = 600, .columns = 512, .rank = 8, .unchanged_rows = 300};
    EXPECT_LT(recovered_bits(shape), 0.40);
}

TEST(LowRankRecovery, RefusesFullFineTunes) {
    for (const double alpha : {0.0003, 0.001, 0.005, 0.05}) {
        const auto [base, fine_tune] = test::synthetic_pair(640, 768, alpha, DType::kBF16, 7);
        MatrixPair p;
        p.rows = 640;
        p.columns = 768;
        p.read = [&b = base, &f = fine_tune](std::uint64_t at, std::span<std::byte> x,
                                             std::span<std::byte> y) -> Status {
            std::memcpy(x.data(), b.data() + at, x.size());
            std::memcpy(y.data(), f.data() + at, y.size());
            return {};
        };
        const auto screen = screen_low_rank(p, {});
        ASSERT_TRUE(screen.ok());
        EXPECT_TRUE(alpha < 0.003 || screen->rank == 0) << alpha;
        const auto r = recover_low_rank(p, {}, {});
        ASSERT_TRUE(r.ok());
        EXPECT_FALSE(r->has_value()) << alpha;
    }
}

TEST(LowRankRecovery, IdenticalTinyAndCancelled) {
    const LowRankPair same({.rows = 256, .columns = 256, .rank = 1, .unchanged_rows = 256});
    auto r = recover_low_rank(same.pair(), {}, {});
    ASSERT_TRUE(r.ok());
    EXPECT_FALSE(r->has_value());
    const LowRankPair tiny({.rows = 3, .columns = 7, .rank = 1});
    r = recover_low_rank(tiny.pair(), {}, {});
    ASSERT_TRUE(r.ok());
    const LowRankPair p({.rows = 256, .columns = 256, .rank = 4});
    std::stop_source stop;
    stop.request_stop();
    JobContext ctx;
    ctx.stop = stop.get_token();
    const auto cancelled = recover_low_rank(p.pair(), {}, ctx);
    ASSERT_FALSE(cancelled.ok());
    EXPECT_EQ(cancelled.error().code, ErrorCode::kCancelled);
    // A read that fails is passed on.
    MatrixPair bad = p.pair();
    bad.read = [](std::uint64_t, std::span<std::byte>, std::span<std::byte>) -> Status {
        return make_error(ErrorCode::kIo, "gone");
    };
    EXPECT_FALSE(recover_low_rank(bad, {}, {}).ok());
}

TEST(LowRankRecovery, SameFactorsWithAnyNumberOfThreads) {
    const LowRankPair p({.rows = 700, .columns = 500, .rank = 6});
    const auto one = recover_low_rank(p.pair(), {.threads = 1}, {}),
               three = recover_low_rank(p.pair(), {.threads = 3}, {});
    ASSERT_TRUE(one.ok() && three.ok() && one->has_value() && three->has_value());
    EXPECT_EQ(factors_to_bytes((*one)->factors), factors_to_bytes((*three)->factors));
}

TEST(LowRankRecovery, ScreenForetellsTheSize) {
    for (const LowRankShape& shape :
         {LowRankShape{.rows = 1024, .columns = 1024, .rank = 16}, LowRankShape{.rows = 576, .columns = 576, .rank = 8},
          LowRankShape{.rows = 2048, .columns = 512, .rank = 32, .alpha = 0.03}}) {
        const LowRankPair p(shape);
        const auto screen = screen_low_rank(p.pair(), {});
        ASSERT_TRUE(screen.ok());
        ASSERT_GT(screen->rank, 0u);
        const double got = recovered_bits(shape) * shape.rows * shape.columns;
        EXPECT_LT(screen->low_bits, got) << shape.rank;
        EXPECT_GT(screen->high_bits, got) << shape.rank;
    }
}

}  // namespace
}  // namespace tenpak::delta

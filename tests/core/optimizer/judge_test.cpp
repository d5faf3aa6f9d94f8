// SPDX-License-Identifier: Apache-2.0
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <random>

#include "core/optimizer/judge.h"

namespace tenpak::optimizer {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

BatchPoint point(std::uint32_t batch, double p99, double tps) {
    BatchPoint b;
    b.batch = batch;
    b.p50_ms = p99 * 0.8;
    b.p95_ms = p99 * 0.9;
    b.p99_ms = p99;
    b.throughput_tps = tps;
    b.samples = 300;
    return b;
}
Trial done(const std::string& name, double delta, double high, std::vector<BatchPoint> batches, std::uint64_t memory = 10'000'000) {
    Trial t;
    t.id = t.candidate = name;
    t.status = TrialStatus::kDone;
    t.metrics.ppl_delta = delta;
    t.metrics.ppl_delta_low = 2 * delta - high;
    t.metrics.ppl_delta_high = high;
    t.metrics.batches = std::move(batches);
    t.metrics.memory_bytes = memory;
    return t;
}

TEST(Judge, TakesTheLargestBatchWhoseP99MeetsTheLimit) {
    const std::vector<Trial> t = {done("fp16", 0, 0, {point(1, 10, 100), point(2, 15, 150), point(4, 25, 180), point(8, 60, 170)})};
    const auto batch_at = [&](std::optional<double> limit) {
        Limits l;
        l.max_latency_p99_ms = limit;
        return judge(t, l, 0.36).trials[0];
    };
    EXPECT_EQ(batch_at(30).batch, 4u);
    EXPECT_EQ(batch_at(25).batch, 4u);  // the limit itself is allowed
    EXPECT_EQ(batch_at(24.9).batch, 2u);
    EXPECT_EQ(batch_at(100).batch, 8u);            // largest, not fastest
    EXPECT_EQ(batch_at(std::nullopt).batch, 4u);   // fastest
    const Judged none = batch_at(5);
    EXPECT_EQ(none.batch, 1u);
    EXPECT_THAT(none.fails, ElementsAre(Limit::kLatency));
    const Judged two = batch_at(20);
    EXPECT_DOUBLE_EQ(two.throughput_tps, 150);
    EXPECT_DOUBLE_EQ(two.p99_ms, 15);
    EXPECT_DOUBLE_EQ(two.latency_b1_ms, 10);
    EXPECT_NEAR(two.cost_per_1m_tokens, 0.36 / (150 * 3600) * 1e6, 1e-12);
}

TEST(Judge, BatchesMayBeUnordered) {
    const std::vector<Trial> t = {done("fp16", 0, 0, {point(8, 60, 170), point(1, 10, 100), point(4, 25, 180)})};
    Limits l;
    l.max_latency_p99_ms = 30;
    EXPECT_EQ(judge(t, l, 1).trials[0].batch, 4u);
    l.max_latency_p99_ms = 1;
    EXPECT_EQ(judge(t, l, 1).trials[0].batch, 1u);
}

TEST(Judge, TheIntervalsUpperEndMustMeetThePerplexityLimit) {
    Limits l;
    l.max_ppl_delta = 2;
    const std::vector<Trial> t = {done("a", 1.9, 2.1, {point(1, 1, 1)}), done("b", 1.9, 2.0, {point(1, 1, 1)}),
                                  done("c", 1.9, kUnknown, {point(1, 1, 1)})};
    const Judgement j = judge(t, l, 1);
    EXPECT_THAT(j.trials[0].fails, ElementsAre(Limit::kPerplexity));
    EXPECT_THAT(j.trials[1].fails, IsEmpty());
    EXPECT_THAT(j.trials[2].fails, ElementsAre(Limit::kPerplexity));  // unknown fails
    EXPECT_EQ(j.winner, 1u);
}

TEST(Judge, EveryLimitIsSeenAndUnknownFails) {
    Limits l;
    l.max_ppl_delta = 1;
    l.max_latency_p99_ms = 1;
    l.min_throughput_tps = 1000;
    l.max_memory_mb = 1;
    l.min_accuracy = 50;
    const std::vector<Trial> t = {done("bad", 5, 5, {point(1, 10, 100)}), done("untimed", 0, 0, {}, 0)};
    const Judgement j = judge(t, l, 1);
    EXPECT_THAT(j.trials[0].fails, ElementsAre(Limit::kPerplexity, Limit::kLatency, Limit::kThroughput, Limit::kMemory, Limit::kAccuracy));
    EXPECT_THAT(j.trials[1].fails, ElementsAre(Limit::kLatency, Limit::kThroughput, Limit::kMemory, Limit::kAccuracy));
    EXPECT_FALSE(j.winner);
    EXPECT_FALSE(j.closest);  // accuracy was measured nowhere: no relaxing helps
    EXPECT_EQ(explain_failure(j.trials[0], t[0], Limit::kLatency, l), "latency p99 10 ms is above 1 ms");
    EXPECT_EQ(explain_failure(j.trials[1], t[1], Limit::kAccuracy, l), "accuracy was not measured");
}

TEST(Judge, CheapestWinsThenLowerPerplexityThenName) {
    const std::vector<Trial> t = {done("fp16", 0, 0, {point(1, 10, 100)}), done("b", 1, 1, {point(1, 5, 200)}),
                                  done("a", 1, 1, {point(1, 5, 200)}), done("c", 0.5, 1, {point(1, 9, 200)}),
                                  done("dear", 0, 0, {point(1, 1, 50)})};
    EXPECT_EQ(t[*judge(t, {}, 1).winner].candidate, "c");
    EXPECT_EQ(t[*judge(std::span(t).first(3), {}, 1).winner].candidate, "a");
    EXPECT_EQ(t[*judge(t, {}, kUnknown).winner].candidate, "c") << "without a price the fastest";
    EXPECT_TRUE(std::isnan(judge(t, {}, kUnknown).trials[0].cost_per_1m_tokens));
    const Judgement j = judge(t, {}, 1);
    EXPECT_TRUE(j.trials[0].baseline);
    EXPECT_EQ(std::count_if(j.trials.begin(), j.trials.end(), [](const Judged& x) { return x.winner; }), 1);
}

TEST(Judge, UnfinishedTrialsHaveNoFiguresAndDoNotWin) {
    std::vector<Trial> t = {done("fp16", 0, 0, {point(1, 10, 100)}), done("x", 0, 0, {point(1, 1, 1000)})};
    for (const TrialStatus s : {TrialStatus::kQueued, TrialStatus::kRunning, TrialStatus::kFailed}) {
        t[1].status = s;
        const Judgement j = judge(t, {}, 1);
        EXPECT_EQ(j.winner, 0u);
        EXPECT_TRUE(std::isnan(j.trials[1].p99_ms));
        EXPECT_FALSE(j.trials[1].on_front);
    }
    EXPECT_FALSE(judge({}, {}, 1).winner);
}

TEST(Judge, FrontIsOverChosenBatchAndPerplexity) {
    Limits l;
    l.max_latency_p99_ms = 20;
    const std::vector<Trial> t = {done("fp16", 0, 0, {point(1, 10, 100), point(2, 18, 150)}), done("b", 1, 1, {point(1, 5, 200), point(2, 9, 300)}),
                                  done("c", 2, 2, {point(1, 12, 90)}), done("tie", 1, 1, {point(2, 9, 290)})};
    const Judgement j = judge(t, l, 1);
    EXPECT_THAT(j.front, ElementsAre(1, 3, 0));
    EXPECT_FALSE(j.trials[2].on_front);
}

TEST(Judge, ClosestIsTheOneThatMissesByLeast) {
    Limits l;
    l.max_ppl_delta = 1;
    l.max_latency_p99_ms = 10;
    const std::vector<Trial> t = {done("slow", 0, 0, {point(1, 20, 100)}), done("near", 1, 1.2, {point(1, 10.5, 90)}),
                                  done("rough", 3, 3, {point(1, 5, 300)})};
    const Judgement j = judge(t, l, 1);
    ASSERT_FALSE(j.winner);
    ASSERT_EQ(j.closest, 1u);
    EXPECT_DOUBLE_EQ(*j.relaxed.max_ppl_delta, 1.2);
    EXPECT_DOUBLE_EQ(*j.relaxed.max_latency_p99_ms, 10.5);
}

// Whatever the figures, with the relaxed limits the closest trial passes, and limits that were absent stay absent.
TEST(Judge, RelaxedLimitsLetTheClosestPass) {
    std::mt19937 rng(3);
    std::uniform_real_distribution<double> u(0.01, 10);
    int relaxed = 0;
    for (int round = 0; round < 3000; ++round) {
        std::vector<Trial> t;
        for (unsigned i = 0; i < 1 + rng() % 5; ++i) {
            std::vector<BatchPoint> b;
            for (std::uint32_t n = 1; n <= 8; n *= 2) b.push_back(point(n, rng() % 12 == 0 ? kUnknown : u(rng), u(rng)));
            t.push_back(done("c" + std::to_string(i), 0, u(rng) - 5, b, rng() % 9 == 0 ? 0 : rng() % 9'000'000));
        }
        Limits l;
        if (rng() % 2) l.max_ppl_delta = rng() % 5 == 0 ? 0 : u(rng) - 6;
        if (rng() % 2) l.max_latency_p99_ms = u(rng) / 3;
        if (rng() % 2) l.min_throughput_tps = u(rng) * 2;
        if (rng() % 2) l.max_memory_mb = u(rng) / 4;
        const Judgement j = judge(t, l, 1);
        if (!j.closest) continue;
        ++relaxed;
        ASSERT_FALSE(j.winner);
        EXPECT_EQ(j.relaxed.max_ppl_delta.has_value(), l.max_ppl_delta.has_value());
        EXPECT_EQ(j.relaxed.min_throughput_tps.has_value(), l.min_throughput_tps.has_value());
        const Judgement again = judge(t, j.relaxed, 1);
        ASSERT_TRUE(again.trials[*j.closest].fails.empty()) << "round " << round;
    }
    EXPECT_GT(relaxed, 300);
}

TEST(Judge, TenThousandTrialsInLessThanTenMilliseconds) {
    std::mt19937 rng(11);
    std::uniform_real_distribution<double> u(0.1, 100);
    std::vector<Trial> t;
    for (int i = 0; i < 10'000; ++i) {
        t.push_back(done("candidate_" + std::to_string(i), u(rng), u(rng), {point(1, u(rng), u(rng)), point(2, u(rng), u(rng)), point(4, u(rng), u(rng))}));
    }
    Limits l;
    l.max_ppl_delta = 50;
    l.max_latency_p99_ms = 50;
    double best = 1e9;
    for (int round = 0; round < 20; ++round) {  // the fastest of some rounds: other processes may disturb
        const auto start = std::chrono::steady_clock::now();
        const Judgement j = judge(t, l, 1);
        best = std::min(best, std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - start).count());
        ASSERT_TRUE(j.winner);
    }
    RecordProperty("judge_10k_ms", std::to_string(best));
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
    EXPECT_LT(best, 100);
#else
    EXPECT_LT(best, 10);
#endif
}

TEST(Judge, CostOfImpossibleFiguresIsUnknown) {
    EXPECT_DOUBLE_EQ(cost_per_1m_tokens(0.8, 400), 0.8 / (400 * 3600) * 1e6);  // 0.556 USD: the L4 example of optimizer.md 6
    EXPECT_TRUE(std::isnan(cost_per_1m_tokens(1, 0)));
    EXPECT_TRUE(std::isnan(cost_per_1m_tokens(1, kUnknown)));
    EXPECT_TRUE(std::isnan(cost_per_1m_tokens(-1, 5)));
}

}  // namespace
}  // namespace tenpak::optimizer

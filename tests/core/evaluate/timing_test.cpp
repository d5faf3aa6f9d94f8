// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include <chrono>

#include "core/compute/cpu/cpu_backend.h"
#include "core/evaluate/ab_timing.h"
#include "core/evaluate/bandwidth.h"
#include "core/evaluate/timing.h"
#include "tests/core/model/tiny_model.h"

namespace {

using namespace tenpak;
using namespace tenpak::evaluate;
using namespace tenpak::test;

struct Loaded {
    TempDir dir;
    std::unique_ptr<compute::Backend> backend = compute::make_cpu_backend(2);
    std::unique_ptr<model::Transformer> model;
    Loaded() {
        TinyModel({}).write(dir / "m");
        auto t = model::Transformer::load(*ModelDirectory::open(dir / "m"), {}, *backend, {}, {});
        EXPECT_TRUE(t.ok());
        model = std::move(*t);
    }
};

TEST(Timing, MeasuresEveryBatch) {
    Loaded l;
    TimingOptions o;
    o.prompt = 16;
    o.batches = {1, 3};
    std::uint64_t reports = 0;
    JobContext ctx;
    ctx.on_progress = [&](const Progress& p) { reports += p.phase == "timing" ? 1 : 0; };
    const auto r = measure_timing(*l.model, *l.backend, o, ctx);
    ASSERT_TRUE(r.ok()) << r.error().text();
    ASSERT_EQ(r->batches.size(), 2u);
    for (const BatchTiming& b : r->batches) {
        EXPECT_GE(b.samples, 300u);
        EXPECT_GT(b.latency_ms.p50, 0);
        EXPECT_LE(b.latency_ms.p50, b.latency_ms.p95);
        EXPECT_LE(b.latency_ms.p95, b.latency_ms.p99);
        EXPECT_GT(b.decode_tps, 0);
    }
    EXPECT_EQ(r->batches[1].batch, 3u);
    EXPECT_GT(r->time_to_first_token_ms, 0);
    EXPECT_NEAR(r->prefill_tps, 16e3 / r->time_to_first_token_ms, 1e-6 * r->prefill_tps);
    EXPECT_GT(r->memory_bytes, l.model->weight_bytes());
    EXPECT_GT(r->read_bandwidth, 1e8);
    EXPECT_GT(r->bandwidth_fraction, 0);
    EXPECT_EQ(r->backend, "cpu");
    EXPECT_GT(reports, 3u);
}

TEST(Timing, TimeLimitGivesFewerSamplesAndSaysSo) {
    Loaded l;
    TimingOptions o;
    o.prompt = 4;
    o.samples = 50'000'000;
    o.max_seconds = 0.05;
    const auto r = measure_timing(*l.model, *l.backend, o, {});
    ASSERT_TRUE(r.ok());
    EXPECT_GE(r->batches[0].samples, 20u);
    EXPECT_LT(r->batches[0].samples, 50'000'000u);
}

TEST(Timing, BadRequests) {
    Loaded l;
    const auto code = [&](const TimingOptions& o, const JobContext& ctx = {}) {
        const auto r = measure_timing(*l.model, *l.backend, o, ctx);
        return r.ok() ? ErrorCode::kInternal : r.error().code;
    };
    TimingOptions o;
    o.prompt = 64;  // the whole context: nothing can be generated
    EXPECT_EQ(code(o), ErrorCode::kInvalidArgument);
    o.prompt = 16;
    o.generate = 49;
    EXPECT_EQ(code(o), ErrorCode::kInvalidArgument);
    o.generate = 8;
    o.batches = {};
    EXPECT_EQ(code(o), ErrorCode::kInvalidArgument);
    o.batches = {0};
    EXPECT_EQ(code(o), ErrorCode::kInvalidArgument);
    o.batches = {1};
    std::stop_source stop;
    stop.request_stop();
    EXPECT_EQ(code(o, {stop.get_token(), {}}), ErrorCode::kCancelled);
    EXPECT_EQ(read_bandwidth(1, 16, 1).error().code, ErrorCode::kInvalidArgument);
}

TEST(AbTiming, JudgesByTheIntervalOfTheMedian) {
    // 12 values: the 3rd and the 10th hold the median with 96.1 %.
    std::vector<double> v;
    for (int i = 0; i < 12; ++i) v.push_back(1.01 + 0.01 * ((i * 5) % 12));
    AbResult r = judge_ratios(v);
    EXPECT_NEAR(r.low, 1.03, 1e-12);
    EXPECT_NEAR(r.high, 1.10, 1e-12);
    EXPECT_NEAR(r.ratio, 1.065, 1e-12);
    EXPECT_EQ(r.faster, Faster::kB);
    for (double& x : v) x = 1 / x;
    EXPECT_EQ(judge_ratios(v).faster, Faster::kA);
    v = {0.9, 1.1, 0.95, 1.05, 1.0, 1.2, 0.8, 1.0};
    EXPECT_EQ(judge_ratios(v).faster, Faster::kNeither);
    EXPECT_EQ(judge_ratios({2, 2, 2, 2, 2}).faster, Faster::kNeither) << "five values hold nothing with 95 %";
    EXPECT_EQ(judge_ratios({2, 2, 2, 2, 2, 2}).faster, Faster::kB);
    EXPECT_EQ(judge_ratios({}).pairs, 0u);
}

TEST(AbTiming, ComparesTwoModels) {
    Loaded l;
    AbOptions o;
    o.prompt = 8;
    o.steps = 8;
    o.pairs = 6;
    o.most_repeated = 2;
    const auto r = compare_speed(*l.model, *l.model, o, {});
    ASSERT_TRUE(r.ok()) << r.error().text();
    EXPECT_EQ(r->pairs, 6u);
    EXPECT_GT(r->ratio, 0.2);
    EXPECT_LT(r->ratio, 5);
    EXPECT_LE(r->low, r->ratio);
    EXPECT_GE(r->high, r->ratio);
    EXPECT_LE(r->repeated, 2u);
    o.steps = 60;
    EXPECT_EQ(compare_speed(*l.model, *l.model, o, {}).error().code, ErrorCode::kInvalidArgument);
    o.steps = 8;
    std::stop_source stop;
    stop.request_stop();
    EXPECT_EQ(compare_speed(*l.model, *l.model, o, {stop.get_token(), {}}).error().code, ErrorCode::kCancelled);
}

TEST(Contention, OwnWorkIsNoContention) {
    ContentionWatch watch;
    const auto end = std::chrono::steady_clock::now() + std::chrono::milliseconds(200);
    while (std::chrono::steady_clock::now() < end) {
    }
    const Contention c = watch.so_far();
    ASSERT_TRUE(c.known);
    EXPECT_GE(c.others, 0);
    EXPECT_LE(c.total(), 1);
    watch.restart();
    EXPECT_FALSE(watch.so_far().known) << "too short to tell";
    EXPECT_GT(resident_memory().now, 1u << 20);
    EXPECT_GE(resident_memory().peak, resident_memory().now);
}

TEST(Timing, Percentiles) {
    std::vector<double> v;
    for (int i = 100; i >= 0; --i) v.push_back(i);
    const Percentiles p = percentiles(v);
    EXPECT_DOUBLE_EQ(p.p50, 50);
    EXPECT_DOUBLE_EQ(p.p95, 95);
    EXPECT_DOUBLE_EQ(p.p99, 99);
    EXPECT_EQ(percentiles({}).p99, 0);
}

}  // namespace

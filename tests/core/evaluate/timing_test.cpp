// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include "core/compute/cpu/cpu_backend.h"
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

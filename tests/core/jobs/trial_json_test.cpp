// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include <cmath>

#include "core/jobs/job_store.h"
#include "core/jobs/limits_json.h"
#include "core/jobs/sweep.h"

namespace tenpak::jobs {
namespace {

optimizer::Trial full_trial() {
    optimizer::Trial t;
    t.id = t.candidate = "awq_g128";
    t.status = optimizer::TrialStatus::kDone;
    t.phase = "timing";
    t.fraction = 0.25;
    t.metrics.perplexity = 12.345678901234567;
    t.metrics.ppl_delta = 1.25;
    t.metrics.ppl_delta_low = 1.0;
    t.metrics.ppl_delta_high = 1.5;
    t.metrics.eval_tokens = 10'240;
    t.metrics.eval_windows = 40;
    t.metrics.eval_context = 256;
    t.metrics.convention = "windows-256";
    optimizer::BatchPoint b;
    b.batch = 4;
    b.p50_ms = 1.5;
    b.throughput_tps = 2000;
    b.samples = 300;
    t.metrics.batches = {b};
    t.metrics.memory_bytes = 1ull << 40;
    t.metrics.window_nll = {2.5, optimizer::kUnknown, 2.25};
    t.metrics.layer_error = {1e-3, 2e-3};
    t.metrics.notes = {"group 64 instead of 128 – \"odd\" \x01"};
    t.metrics.kernels = {"int4 g128 AVX-512 VNNI"};
    t.provenance = optimizer::Provenance::kRecorded;
    t.device = "CPU, 2 cores";
    t.measured_at = "2026-11-22T10:00:00Z";
    t.attempts = 2;
    return t;
}

TEST(TrialJson, RoundTripKeepsEveryFieldAndUnknownStaysUnknown) {
    const std::string json = trial_to_json(full_trial());
    const auto back = trial_from_json(json, "test");
    ASSERT_TRUE(back.ok()) << back.error().text();
    EXPECT_EQ(trial_to_json(*back), json);
    EXPECT_EQ(back->metrics.perplexity, 12.345678901234567);
    EXPECT_TRUE(std::isnan(back->metrics.kl_divergence));
    EXPECT_TRUE(std::isnan(back->metrics.window_nll[1]));
    EXPECT_TRUE(std::isnan(back->metrics.batches[0].p99_ms));
    EXPECT_EQ(back->metrics.memory_bytes, 1ull << 40);
    EXPECT_EQ(back->metrics.notes, full_trial().metrics.notes);
    EXPECT_EQ(back->provenance, optimizer::Provenance::kRecorded);
}

TEST(TrialJson, RefusesWhatIsNoTrial) {
    for (const char* bad : {"", "[]", "{}", "3", R"({"id":"x"})", R"({"id":"x","candidate":"x","status":"odd","provenance":"measured"})",
                            R"({"id":"","candidate":"x","status":"done","provenance":"measured"})",
                            R"({"id":"x","candidate":"x","status":"done","provenance":"measured","metrics":[]})",
                            R"({"id":"x","candidate":"x","status":"done","provenance":"measured","metrics":{"batches":[3]}})",
                            R"({"id":"x","candidate":"x","status":"done","provenance":"measured","metrics":{"window_nll":["a"]}})",
                            R"({"id":"x","candidate":"x","status":"done","provenance":"measured","metrics":{"memory_bytes":-1}})",
                            R"({"id":"x","candidate":"x","status":"done","provenance":"measured","metrics":{"perplexity":"1"}})",
                            R"({"id":"x","candidate":"x","status":"done","provenance":"measured","attempts":4294967296})"}) {
        const auto r = trial_from_json(bad, "test");
        ASSERT_FALSE(r.ok()) << bad;
        EXPECT_EQ(r.error().code, ErrorCode::kMalformed) << bad;
    }
}

TEST(TrialJson, EveryTruncationIsRefused) {
    const std::string json = trial_to_json(full_trial());
    for (std::size_t n = 0; n < json.size(); ++n) ASSERT_FALSE(trial_from_json(json.substr(0, n), "test").ok()) << n;
}

TEST(LimitsJson, RoundTrip) {
    optimizer::Limits l;
    l.max_ppl_delta = 2;
    l.min_accuracy = 0;
    const auto back = limits_from_json(limits_to_json(l), "test");
    ASSERT_TRUE(back.ok());
    EXPECT_EQ(*back, l);
    EXPECT_EQ(*limits_from_json("{}", "test"), optimizer::Limits());
    EXPECT_FALSE(limits_from_json(R"({"max_ppl_delta":"2"})", "test").ok());
}

TEST(SweepSpec, RoundTripAndIdentity) {
    SweepSpec s;
    s.model_path = "/models/a";
    s.text_path = "/texts/a.txt";
    s.candidates = {"fp16", "int8"};
    s.eval_samples = 40;
    s.batches = {1, 4};
    s.model_fingerprint = "abc";
    const auto back = sweep_spec_from_json(sweep_spec_json(s), "test");
    ASSERT_TRUE(back.ok()) << back.error().text();
    EXPECT_EQ(sweep_spec_json(*back), sweep_spec_json(s));

    SweepSpec more = s;
    more.candidates.push_back("awq_g128");
    EXPECT_EQ(sweep_result_key(more), sweep_result_key(s)) << "another selection of candidates shares the results";
    EXPECT_NE(sweep_spec_json(more), sweep_spec_json(s));
    for (const auto& change : std::vector<std::function<void(SweepSpec&)>>{
             [](SweepSpec& x) { x.model_fingerprint = "abd"; }, [](SweepSpec& x) { x.text_path = "/texts/b.txt"; },
             [](SweepSpec& x) { x.eval_samples = 41; }, [](SweepSpec& x) { x.batches = {1}; }, [](SweepSpec& x) { x.device = "other"; },
             [](SweepSpec& x) { x.calibration_path = "/c"; }, [](SweepSpec& x) { x.context = 1; }, [](SweepSpec& x) { x.timing_samples = 1; },
             [](SweepSpec& x) { x.backend = "fake:x"; }}) {
        SweepSpec other = s;
        change(other);
        EXPECT_NE(sweep_result_key(other), sweep_result_key(s));
    }
    EXPECT_FALSE(sweep_spec_from_json("{}", "test").ok());
    EXPECT_FALSE(sweep_spec_from_json(R"({"batches":[0]})", "test").ok());
}

}  // namespace
}  // namespace tenpak::jobs

// SPDX-License-Identifier: Apache-2.0
// Exit codes, JSON and words of `tenpak optimize`, by the built program with a scripted backend.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/e2e/optimize_support.h"

namespace tenpak::e2e {
namespace {

using testing::HasSubstr;

class Optimize : public testing::Test, protected Bench {
   protected:
    void three() {
        script({{"fp16", {ran("fp16"), metrics(12, 0, 10, 100)}}, {"int8", {ran("int8"), metrics(12.06, 0.5, 6, 200)}},
                {"awq_g128", {ran("awq_g128"), metrics(12.48, 4, 4, 300)}}});
    }
    static constexpr const char* kThree = "fp16,int8,awq_g128";
};

TEST_F(Optimize, JsonHasEveryKeyAndTheCheapestThatPassesWins) {
    three();
    const auto r = run(kThree, {"--max-ppl-delta", "2"});
    ASSERT_EQ(r.code, 0) << r.err;
    const Json j = Json::parse(r.out);
    for (const char* k : {"job_id", "status", "winner", "candidates", "pareto"}) EXPECT_TRUE(j.contains(k)) << k;
    EXPECT_EQ(j["status"], "done");
    for (const char* k : {"candidate", "compression", "ppl", "ppl_delta", "latency_ms", "throughput_tps", "memory_bytes", "cost_per_1m_tokens_usd"}) {
        EXPECT_TRUE(j["winner"].contains(k)) << k;
    }
    EXPECT_EQ(j["winner"]["candidate"], "int8");
    EXPECT_EQ(j["winner"]["latency_ms"]["p99"], 6);
    EXPECT_NEAR(j["winner"]["cost_per_1m_tokens_usd"].get<double>(), 0.067 / (200 * 3600) * 1e6, 1e-9);
    ASSERT_EQ(j["candidates"].size(), 3u);
    for (const Json& c : j["candidates"]) {
        for (const char* k : {"id", "candidate", "status", "phase", "ppl", "ppl_delta", "ppl_delta_low", "ppl_delta_high", "latency_ms", "latency_b1_ms",
                              "throughput_tps", "batch", "memory_bytes", "compression", "cost_per_1m_tokens_usd", "fails", "provenance", "device", "measured_at", "error"}) {
            EXPECT_TRUE(c.contains(k)) << k;
        }
        EXPECT_EQ(c["provenance"], "measured");
        EXPECT_TRUE(c["error"].is_null());
    }
    EXPECT_EQ(j["candidates"][2]["fails"], Json({"ppl_delta"}));
    EXPECT_EQ(j["pareto"], Json({"awq_g128", "int8", "fp16"}));
}

TEST_F(Optimize, WithoutLimitsTheDefaultIsNamed) {
    three();
    const auto r = run(kThree);
    ASSERT_EQ(r.code, 0) << r.err;
    EXPECT_THAT(r.err, HasSubstr("--max-ppl-delta 2"));
    const Json j = Json::parse(r.out);
    EXPECT_EQ(j["limits"]["max_ppl_delta"], 2);
    EXPECT_TRUE(j["limits_are_default"]);
}

TEST_F(Optimize, AnotherLimitRunsNothing) {
    three();
    ASSERT_EQ(run(kThree, {"--max-ppl-delta", "2"}).code, 0);
    const std::string first = read_log();
    const auto r = run(kThree, {"--max-ppl-delta", "5"});
    ASSERT_EQ(r.code, 0) << r.err;
    EXPECT_EQ(Json::parse(r.out)["winner"]["candidate"], "awq_g128");
    EXPECT_EQ(read_log(), first);
    ASSERT_EQ(run(kThree, {"--fresh"}).code, 0);
    EXPECT_EQ(read_log(), first + first);
}

TEST_F(Optimize, NoCandidateIsExitCode4AndSaysWhichLimitEachFailed) {
    three();
    const auto r = run(kThree, {"--max-ppl-delta", "1", "--max-latency-p99-ms", "5", "--min-throughput-tps", "250"});
    EXPECT_EQ(r.code, 4);
    const Json j = Json::parse(r.out);
    EXPECT_TRUE(j["winner"].is_null());
    EXPECT_EQ(j["candidates"][0]["fails"], Json({"latency_p99", "throughput"}));
    EXPECT_EQ(j["candidates"][1]["fails"], Json({"latency_p99", "throughput"}));
    EXPECT_EQ(j["candidates"][2]["fails"], Json({"ppl_delta"}));
    EXPECT_EQ(j["closest"]["candidate"], "int8");
    EXPECT_THAT(r.err, HasSubstr("error[no-candidate]"));
    EXPECT_THAT(r.err, HasSubstr("int8: latency p99 6 ms is above 5 ms; throughput 200 tok/s is below 250 tok/s"));
    EXPECT_THAT(r.err, HasSubstr("awq_g128: perplexity change (upper end) 4.1 % is above 1 %"));
    EXPECT_THAT(r.err, HasSubstr("Closest: int8"));
}

TEST_F(Optimize, BadUsageIsExitCode2AndRunsNothing) {
    three();
    const std::vector<std::pair<std::string, std::vector<std::string>>> bad = {
        {"", {}}, {",", {}}, {"fp16,,int8", {}}, {"int3", {}}, {"fp16,fp16", {}}, {kThree, {"--executor", "slurm"}}, {kThree, {"--hardware", "abacus"}},
        {kThree, {"--batch", "0"}}, {kThree, {"--max-latency-p99-ms", "-1"}}, {kThree, {"--max-ppl-delta", "nan"}}, {kThree, {"--max-ppl-delta", "x"}},
        {kThree, {"--nonsense"}}};
    for (const auto& [candidates, more] : bad) {
        const auto r = run(candidates, more);
        EXPECT_EQ(r.code, 2) << candidates << " " << (more.empty() ? "" : more[0]) << r.err;
        EXPECT_EQ(std::count(r.err.begin(), r.err.end(), '\n'), 1) << r.err;
        EXPECT_THAT(r.err, HasSubstr("tenpak: error["));
    }
    EXPECT_EQ(read_log(), "");
}

TEST_F(Optimize, AFailedCandidateDoesNotFailTheSweep) {
    script({{"fp16", {metrics(12, 0, 10, 100)}}, {"int8", {{{"crash", "SIGSEGV"}}}}});
    const auto r = run("fp16,int8");
    EXPECT_EQ(r.code, 0) << r.err;
    const Json j = Json::parse(r.out);
    EXPECT_EQ(j["candidates"][1]["status"], "failed");
    EXPECT_EQ(j["candidates"][1]["error_code"], "worker-crashed");
    EXPECT_EQ(j["candidates"][1]["attempts"].is_number(), true);
    EXPECT_THAT(j["candidates"][1]["error"].get<std::string>(), HasSubstr("SIGSEGV"));
    EXPECT_EQ(j["winner"]["candidate"], "fp16");
}

TEST_F(Optimize, NothingMeasuredIsAFailureWithTheReason) {
    script({{"fp16", {{{"error", "numeric"}, {"what", "NaN in a weight"}}}}});
    const auto r = run("fp16");
    EXPECT_EQ(r.code, 1);
    EXPECT_THAT(r.err, HasSubstr("NaN in a weight"));
}

TEST_F(Optimize, ForeignStoreIsRefused) {
    three();
    dir.write("jobs.sqlite", "this is a letter, not a database; it is long enough to be looked at as one, too .......................");
    const auto r = run(kThree);
    EXPECT_EQ(r.code, 1);
    EXPECT_THAT(r.err, HasSubstr("error[malformed]"));
    EXPECT_EQ(read_log(), "");
}

TEST_F(Optimize, TextOutputAndRecord) {
    three();
    auto a = arguments(kThree, {"--record", (dir / "sweep.json").string()});
    std::erase(a, "--json");
    const auto r = test::run_program(test::bin_dir() / "tenpak", a, environment());
    ASSERT_EQ(r.code, 0) << r.err;
    EXPECT_THAT(r.out, HasSubstr("int8 is the cheapest that passes"));
    EXPECT_THAT(r.out, HasSubstr("fails ppl_delta"));
    EXPECT_THAT(r.out, HasSubstr("Hugging Face Inference Endpoints, 2026-11-01"));
    const Json j = Json::parse(std::ifstream(dir / "sweep.json"));
    EXPECT_EQ(j["trials"].size(), 3u);
}

TEST_F(Optimize, MissingModelAndText) {
    for (const auto& args : std::vector<std::vector<std::string>>{{"optimize", (dir / "absent").string()}, {"optimize", dir.path().string()}}) {
        auto a = args;
        a.insert(a.end(), {"--store", store().string()});
        const auto r = test::run_program(test::bin_dir() / "tenpak", a, environment());
        EXPECT_EQ(r.code, 1) << r.err;
        EXPECT_THAT(r.err, HasSubstr("tenpak: error["));
    }
}

}  // namespace
}  // namespace tenpak::e2e

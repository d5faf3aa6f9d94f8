// SPDX-License-Identifier: Apache-2.0
// `tenpak optimize` on the bundled sample: the whole sweep with defaults, and what it refuses.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <fstream>

#include "core/base/file.h"
#include "core/jobs/recorded_sweep.h"
#include "tests/e2e/optimize_support.h"

namespace tenpak::e2e {
namespace {

using testing::HasSubstr;

test::Finished optimize(const Bench& bench, const std::filesystem::path& model, const std::vector<std::string>& more) {
    std::vector<std::string> a = {"optimize", model.string(), "--json", "--store", bench.store().string()};
    a.insert(a.end(), more.begin(), more.end());
    return test::run_program(test::bin_dir() / "tenpak", a, bench.environment(), 500);
}

TEST(OptimizeSample, WholeSweepWithDefaultsHasAWinner) {
    if (!std::filesystem::exists(test::sample_dir() / "base" / "model.safetensors")) GTEST_SKIP() << "SKIPPED: no sample model";
    const Bench bench;
    const auto record = bench.dir / "sweep.json";
    const auto r = optimize(bench, test::sample_dir() / "base", {"--record", record.string()});
    ASSERT_EQ(r.code, 0) << r.err;
    RecordProperty("seconds", std::to_string(r.seconds));
    const Json j = Json::parse(r.out);
    ASSERT_FALSE(j["winner"].is_null());
    EXPECT_NE(j["winner"]["candidate"], "");
    EXPECT_LE(j["winner"]["ppl_delta"].get<double>(), 2);
    EXPECT_GE(j["candidates"].size(), 6u);
    for (const Json& c : j["candidates"]) {
        const std::string name = c["candidate"];
        ASSERT_EQ(c["status"], "done") << name << ": " << c["error"];
        EXPECT_EQ(c["provenance"], "measured");
        EXPECT_NEAR(c["ppl"].get<double>(), 36, 6) << name;  // resources/sample/README.md: 36.39
        EXPECT_LE(c["ppl_delta_low"].get<double>(), c["ppl_delta"].get<double>()) << name;
        EXPECT_LE(c["ppl_delta"].get<double>(), c["ppl_delta_high"].get<double>()) << name;
        for (const Json& b : c["batches"]) {
            EXPECT_GE(b["samples"], 300) << name;
            EXPECT_LE(b["p50_ms"], b["p99_ms"]) << name;
        }
        EXPECT_GT(c["cost_per_1m_tokens_usd"].get<double>(), 0) << name;
        EXPECT_GT(c["memory_bytes"].get<std::uint64_t>(), 1'000'000u) << name;
        EXPECT_FALSE(c["kernels"].empty()) << name;
        if (name == "fp16") {
            EXPECT_EQ(c["ppl_delta"], 0);
            EXPECT_EQ(c["compression"], 1);
        } else {
            EXPECT_GT(c["compression"].get<double>(), 1.3) << name;
        }
    }
    const auto recorded = jobs::load_recorded_sweep(record);
    ASSERT_TRUE(recorded.ok()) << recorded.error().text();
    EXPECT_EQ(recorded->trials.size(), j["candidates"].size());

    // A limit that nothing meets, judged over what is recorded: nothing runs.
    const auto none = optimize(bench, test::sample_dir() / "base", {"--max-latency-p99-ms", "0.000001", "--max-ppl-delta", "2"});
    EXPECT_EQ(none.code, 4);
    EXPECT_LT(none.seconds, 10);
    const Json all = Json::parse(none.out);
    for (const Json& c : all["candidates"]) {
        EXPECT_EQ(c["fails"].back(), "latency_p99") << c["candidate"];
        EXPECT_THAT(none.err, HasSubstr(c["candidate"].get<std::string>() + ": "));
    }
    EXPECT_THAT(none.err, HasSubstr("latency p99"));
}

TEST(OptimizeSample, AnImportedModelIsMeasuredBesideTheCandidates) {
    if (!std::filesystem::exists(test::sample_dir() / "base" / "model.safetensors")) GTEST_SKIP() << "SKIPPED: no sample model";
    const Bench bench;
    const auto theirs = bench.dir / "theirs";
    const auto base = test::sample_dir() / "base";
    const auto q = test::run_program(test::bin_dir() / "tenpak", {"quantize", base.string(), "--candidate", "rtn_g128", "-o", theirs.string()}, bench.environment(), 100);
    ASSERT_EQ(q.code, 0) << q.err;
    const std::vector<std::string> few = {"--candidates", "rtn_g128", "--import", theirs.string(), "--eval-samples", "8", "--batch", "1"};
    const auto r = optimize(bench, base, few);
    ASSERT_EQ(r.code, 0) << r.err;
    const Json candidates = Json::parse(r.out)["candidates"];
    ASSERT_EQ(candidates.size(), 3u);
    ASSERT_EQ(candidates[2]["candidate"], "import:theirs");
    ASSERT_EQ(candidates[2]["status"], "done") << candidates[2]["error"];
    // The same codes by way of a file: the same predictions, the same size.
    EXPECT_EQ(candidates[2]["ppl"], candidates[1]["ppl"]);
    EXPECT_EQ(candidates[2]["compression"], candidates[1]["compression"]);
    EXPECT_EQ(candidates[2]["bits_per_weight"], candidates[1]["bits_per_weight"]);

    const auto same_name = optimize(bench, base, {"--import", theirs.string(), "--import", theirs.string()});
    EXPECT_EQ(same_name.code, 2);
    EXPECT_THAT(same_name.err, HasSubstr("two imported models"));
    const auto nothing = optimize(bench, base, {"--import", (bench.dir / "nothing").string()});
    EXPECT_EQ(nothing.code, 1);
    EXPECT_THAT(nothing.err, HasSubstr("no model there"));
}

class OptimizeRefusals : public testing::Test {
   protected:
    void SetUp() override {
        if (!std::filesystem::exists(test::sample_dir() / "base" / "model.safetensors")) GTEST_SKIP() << "SKIPPED: no sample model";
        std::filesystem::copy(test::sample_dir() / "base", model_);
    }
    void expect(const std::vector<std::string>& more, int code, const std::string& words) {
        std::vector<std::string> a = {"--candidates", "fp16", "--text", text_};
        a.insert(a.end(), more.begin(), more.end());
        const auto r = optimize(bench_, model_, a);
        EXPECT_EQ(r.code, code) << r.err;
        EXPECT_THAT(r.err, HasSubstr(words));
        EXPECT_THAT(r.err, HasSubstr("tenpak: error["));
    }
    Bench bench_;
    std::filesystem::path model_ = bench_.dir / "model";
    std::string text_ = (test::sample_dir() / "text" / "base.txt").string();
};

TEST_F(OptimizeRefusals, NaNWeights) {
    const auto file = model_ / "model.safetensors";
    std::fstream f(file, std::ios::in | std::ios::out | std::ios::binary);
    f.seekp(static_cast<std::streamoff>(std::filesystem::file_size(file)) - 2 * 100'000);
    const char nan[2] = {static_cast<char>(0xc0), 0x7f};
    f.write(nan, 2);
    f.close();
    expect({}, 1, "error[numeric]");
}

TEST_F(OptimizeRefusals, TextWithoutTokensAndMissingText) {
    text_ = bench_.dir.write("empty.txt", "").string();
    expect({}, 2, "no tokens");
    text_ = (bench_.dir / "absent.txt").string();
    expect({}, 1, "error[not-found]");
}

TEST_F(OptimizeRefusals, TheSameTextForBoth) {
    expect({"--calibration", text_}, 2, "the calibration text holds 100 % of the evaluation text");
    const auto copy = bench_.dir / "copy.txt";
    std::filesystem::copy_file(text_, copy);
    expect({"--calibration", copy.string()}, 2, "the calibration text holds 100 % of the evaluation text");
    expect({"--calibration", copy.string(), "--split-text"}, 2, "Leave out --calibration or --split-text");
}

TEST_F(OptimizeRefusals, NoTextAtAll) {
    auto r = optimize(bench_, model_, {"--candidates", "fp16"});
    EXPECT_EQ(r.code, 2);
    EXPECT_THAT(r.err, HasSubstr("--text"));
    r = optimize(bench_, model_, {"--candidates", "awq_g128", "--text", text_});
    EXPECT_EQ(r.code, 2);
    EXPECT_THAT(r.err, HasSubstr("--calibration"));
}

TEST_F(OptimizeRefusals, OtherArchitectureAndTruncatedWeights) {
    std::string config = read_text_file(model_ / "config.json").value();
    const std::string good = config;
    for (std::size_t at = 0; (at = config.find("Llama", at)) != std::string::npos;) config.replace(at, 5, "Mamba");
    for (std::size_t at = 0; (at = config.find("\"llama\"", at)) != std::string::npos;) config.replace(at, 7, "\"mamba\"");
    std::ofstream(model_ / "config.json") << config;
    expect({}, 1, "error[unsupported]");
    std::ofstream(model_ / "config.json") << good;
    std::filesystem::resize_file(model_ / "model.safetensors", 3'000'000);
    expect({}, 1, "error[malformed]");
}

}  // namespace
}  // namespace tenpak::e2e

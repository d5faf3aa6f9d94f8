// SPDX-License-Identifier: Apache-2.0
// `tenpak eval` and `tenpak bench --versus` as a user runs them, on the bundled sample.
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "tests/support/run_program.h"

using namespace tenpak;
using nlohmann::json;

namespace {

std::string base() { return (test::sample_dir() / "base").string(); }
std::string lora() { return (test::sample_dir() / "lora").string(); }
std::string text() { return (test::sample_dir() / "text/base.txt").string(); }

json eval(std::vector<std::string> args) {
    args.insert(args.begin(), "eval");
    args.insert(args.end(), {"--json", "--quiet"});
    const auto r = test::tenpak(args);
    EXPECT_EQ(r.code, 0) << r.err;
    return r.code == 0 ? json::parse(r.out) : json();
}

}  // namespace

TEST(EvalCli, EveryConventionIsNamed) {
    const json windows = eval({base(), "--text", text(), "--context", "256", "--eval-samples", "12"});
    EXPECT_EQ(windows["convention"], "windows-256");
    EXPECT_EQ(windows["tokens"], 12 * 255);
    EXPECT_GT(windows["perplexity"].get<double>(), 25);
    EXPECT_LT(windows["perplexity"].get<double>(), 50);
    const json half = eval({base(), "--text", text(), "--context", "256", "--eval-samples", "12", "--convention", "second-half"});
    EXPECT_EQ(half["convention"], "second-half-256");
    EXPECT_EQ(half["tokens"], 12 * 127);
    const json stride = eval({base(), "--text", text(), "--context", "256", "--eval-samples", "12", "--stride", "64"});
    EXPECT_EQ(stride["convention"], "stride-64-of-256");
    EXPECT_NE(stride["nll"], windows["nll"]);
    EXPECT_EQ(test::tenpak({"eval", base(), "--text", text(), "--convention", "mine"}).code, 2);
    EXPECT_EQ(test::tenpak({"eval", base(), "--text", text(), "--convention", "windows", "--stride", "9"}).code, 2);
    EXPECT_EQ(test::tenpak({"eval", base()}).code, 2) << "nothing to evaluate on";
}

TEST(EvalCli, AKeptReferenceTellsWhatTheModelTells) {
    const test::TempDir dir;
    const std::string kept = (dir / "base.ref").string();
    const std::vector<std::string> how = {"--text", text(), "--context", "256", "--eval-samples", "12"};
    const auto with = [&](std::vector<std::string> args) {
        args.insert(args.end(), how.begin(), how.end());
        return eval(args);
    };
    const json alone = with({base(), "--save-reference", kept});
    const json live = with({lora(), "--reference", base()}), from_file = with({lora(), "--reference", kept});
    EXPECT_EQ(live["ppl_delta"]["reference_perplexity"], alone["perplexity"]);
    EXPECT_NEAR(from_file["ppl_delta"]["percent"].get<double>(), live["ppl_delta"]["percent"].get<double>(), 1e-3);
    EXPECT_GT(live["kl_divergence"].get<double>(), 0.01);
    EXPECT_NEAR(from_file["kl_divergence"].get<double>(), live["kl_divergence"].get<double>(), 0.05 * live["kl_divergence"].get<double>());
    EXPECT_EQ(from_file["top1_agreement"], live["top1_agreement"]);
    EXPECT_TRUE(live["kl_top_k"].is_null());
    EXPECT_FALSE(from_file["kl_top_k"].is_null());
    const auto other = test::tenpak({"eval", lora(), "--text", text(), "--context", "128", "--reference", kept});
    EXPECT_EQ(other.code, 1);
    EXPECT_NE(other.err.find("the reference was made with"), std::string::npos) << other.err;
}

TEST(EvalCli, AccuracyOnItems) {
    const std::string items = (test::sample_dir() / "text/tasks.jsonl").string();
    const json j = eval({lora(), "--tasks", items, "--task-samples", "40", "--reference", base()});
    EXPECT_TRUE(j["perplexity"].is_null());
    EXPECT_EQ(j["items"], 40);
    EXPECT_GT(j["accuracy"].get<double>(), 20);
    EXPECT_LE(j["accuracy"].get<double>(), 100);
    const json& d = j["accuracy_delta"];
    EXPECT_NEAR(d["points"].get<double>(), 100.0 * (d["gained"].get<int>() - d["lost"].get<int>()) / 40, 1e-9);
    const test::TempDir dir;
    const auto bad = test::tenpak({"eval", base(), "--tasks", text()});
    EXPECT_EQ(bad.code, 1);
    EXPECT_NE(bad.err.find("line 1"), std::string::npos) << bad.err;
}

TEST(BenchCli, VersusComparesInTurn) {
    const auto r = test::tenpak({"bench", base(), "--candidate", "int8", "--versus", "fp16", "--pairs", "6", "--generate", "8", "--prompt", "16", "--json", "--quiet"});
    ASSERT_EQ(r.code, 0) << r.err;
    const json j = json::parse(r.out);
    EXPECT_EQ(j["a"], "int8");
    EXPECT_EQ(j["pairs"], 6);
    EXPECT_LE(j["low"].get<double>(), j["ratio"].get<double>());
    EXPECT_GT(j["ratio"].get<double>(), 0.1);
    EXPECT_EQ(test::tenpak({"bench", base(), "--versus", "nothing-of-this-name"}).code, 2);
}

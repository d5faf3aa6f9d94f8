// SPDX-License-Identifier: Apache-2.0
// `tenpak quantize` as a user runs it: the keys of design section 4, refusals with their exit codes, nothing left behind.
#include <gtest/gtest.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "core/base/file.h"
#include "tests/e2e/background_program.h"
#include "tests/support/run_program.h"

using namespace tenpak;
using nlohmann::json;

namespace {

test::Finished tenpak_quantize(std::vector<std::string> args) {
    args.insert(args.begin(), "quantize");
    args.insert(args.end(), {"--json", "--quiet"});
    return test::run_program(test::bin_dir() / "tenpak", args);
}
std::string sample(const char* part) { return (test::sample_dir() / part).string(); }

}  // namespace

TEST(QuantizeCli, WritesADirectoryAndSaysWhatItIs) {
    const test::TempDir dir;
    const auto r = tenpak_quantize({sample("base"), "--candidate", "int8_g128", "-o", (dir / "out").string(), "--layout", "compressed-tensors"});
    ASSERT_EQ(r.code, 0) << r.err;
    const json j = json::parse(r.out);
    EXPECT_EQ(j["candidate"], "int8_g128");
    EXPECT_EQ(j["layout"], "compressed-tensors");
    EXPECT_DOUBLE_EQ(j["bits_per_weight"].get<double>(), 8.125);
    EXPECT_NEAR(j["compression"].get<double>(), j["baseline_bytes"].get<double>() / j["stored_bytes"].get<double>(), 1e-9);
    EXPECT_GT(j["seconds"].get<double>(), 0.0);
    EXPECT_EQ(j["tensors"].size(), 28u);
    // What was promised is what lies there, but for headers and the shapes that the layout repeats.
    const auto size = std::filesystem::file_size(dir / "out" / "model.safetensors");
    EXPECT_NEAR(static_cast<double>(size), j["stored_bytes"].get<double>(), 20000.0);
    for (const char* file : {"config.json", "tokenizer.json", "tokenizer_config.json", "generation_config.json"}) EXPECT_TRUE(std::filesystem::exists(dir / "out" / file)) << file;
}

TEST(QuantizeCli, FindsTheSamplesOwnCalibrationText) {
    const test::TempDir dir;
    const auto r = tenpak_quantize({sample("base"), "--candidate", "gptq_g128", "-o", (dir / "out").string()});
    ASSERT_EQ(r.code, 0) << r.err;
    const json j = json::parse(r.out);
    EXPECT_NE(j["calibration"].get<std::string>().find("calibration.txt"), std::string::npos);
    EXPECT_GT(j["calibration_tokens"].get<int>(), 16384);
    for (const auto& t : j["tensors"]) EXPECT_LT(t["relative_error"].get<double>(), t["nearest_error"].get<double>()) << t["name"];
}

TEST(QuantizeCli, RefusesWithOneLineAndTheRightCode) {
    const test::TempDir dir;
    const auto short_text = dir.write("short.txt", "too short");
    dir.write("full/file", "x");
    const std::string out = (dir / "out").string(), base = sample("base");
    struct Case { std::vector<std::string> args; int code; const char* says; };
    const std::vector<Case> cases = {
        {{base, "--candidate", "int5", "-o", out}, 2, "gptq_g128"},
        {{base, "--candidate", "fp16", "-o", out}, 2, "nothing to quantize"},
        {{base, "-o", out}, 2, "candidate"},
        {{base, "--candidate", "awq_g128", "-o", out, "--layout", "exl2"}, 2, "bitsandbytes"},
        {{base, "--candidate", "nf4", "-o", out, "--layout", "awq"}, 1, "Layouts that can: bitsandbytes, bf16"},
        {{base, "--candidate", "awq_g128"}, 2, "no output"},
        {{base, "--candidate", "awq_g128", "-o", (dir / "full").string()}, 2, "not an empty folder"},
        {{base, "--candidate", "awq_g128", "-o", (dir / "no/such/folder/x").string()}, 1, "cannot create"},
        {{base, "--candidate", "awq_g128", "-o", out, "--calibration", short_text.string()}, 2, "too short"},
        {{base, "--candidate", "awq_g128", "-o", out, "--calibration", "/nonexistent"}, 1, "/nonexistent"},
        {{"/nonexistent", "--candidate", "int8", "-o", out}, 1, "/nonexistent"},
    };
    for (const Case& c : cases) {
        const auto r = tenpak_quantize(c.args);
        EXPECT_EQ(r.code, c.code) << r.err;
        EXPECT_NE(r.err.find(c.says), std::string::npos) << r.err;
        EXPECT_EQ(std::count(r.err.begin(), r.err.end(), '\n'), 1) << r.err;
        EXPECT_FALSE(std::filesystem::exists(out));
    }
}

TEST(QuantizeCli, WritesEveryLayoutAndReadsItBack) {
    const test::TempDir dir;
    const auto perplexity = [&](const std::string& model) {
        const auto r = test::run_program(test::bin_dir() / "tenpak", {"eval", model, "--text", sample("text/base.txt"), "--context", "128", "--eval-samples", "2", "--json", "--quiet"});
        EXPECT_EQ(r.code, 0) << r.err;
        return json::parse(r.out)["perplexity"].get<double>();
    };
    double rtn = 0;
    for (const auto& [candidate, layout] : std::vector<std::pair<const char*, const char*>>{
             {"rtn_g128", "compressed-tensors"}, {"rtn_g128", "awq"}, {"rtn_g128", "gptq"}, {"rtn_g128", "gptq_v2"}, {"rtn_g128", "bf16"}, {"nf4", "bitsandbytes"}}) {
        const std::string out = (dir / (std::string(candidate) + layout)).string();
        const auto r = tenpak_quantize({sample("base"), "--candidate", candidate, "-o", out, "--layout", layout});
        ASSERT_EQ(r.code, 0) << r.err;
        const json j = json::parse(r.out);
        EXPECT_EQ(j["layout"], layout);
        EXPECT_EQ(j["engines"].size(), 5u);
        const double p = perplexity(out);
        if (rtn == 0) rtn = p;
        if (std::string(candidate) != "rtn_g128") continue;
        if (std::string(layout) == "bf16") {
            EXPECT_NEAR(p, rtn, rtn * 0.01);  // values rounded to bf16
        } else {
            EXPECT_EQ(p, rtn) << layout;  // the same weights
        }
    }
}

TEST(QuantizeCli, GoesOnAfterAKill) {
    const test::TempDir dir;
    const auto out = dir / "out", layers = dir / "out.layers", whole = dir / "whole";
    const auto finished_layers = [&] {
        std::error_code ec;
        std::size_t n = 0;
        for (const auto& e : std::filesystem::recursive_directory_iterator(layers, ec)) n += e.path().extension() == ".safetensors" ? 1u : 0u;
        return n;
    };
    const std::vector<std::string> arguments = {"quantize", sample("base"), "--candidate", "gptq_g128", "-o", out.string() + "/"};
    const pid_t pid = e2e::start(arguments);
    const bool began = e2e::wait_for([&] { return finished_layers() >= 1; }, 60);
    e2e::kill9(pid);
    ASSERT_TRUE(began);
    EXPECT_FALSE(std::filesystem::exists(out / "config.json")) << "nothing half written";
    const std::size_t kept = finished_layers();
    ASSERT_GE(kept, 1u);

    const auto r = tenpak_quantize({sample("base"), "--candidate", "gptq_g128", "-o", out.string()});
    ASSERT_EQ(r.code, 0) << r.err;
    EXPECT_FALSE(std::filesystem::exists(layers)) << "of no use any more";
    ASSERT_EQ(tenpak_quantize({sample("base"), "--candidate", "gptq_g128", "-o", whole.string()}).code, 0);
    const auto weights = [](const std::filesystem::path& model) { return read_file(model / "model.safetensors", 1u << 30).value(); };
    EXPECT_TRUE(weights(out) == weights(whole)) << "the same bytes as in one go";
}

TEST(QuantizeCli, SaysWhoLoadsItBeforeTheWork) {
    const test::TempDir dir;
    const auto r = tenpak_quantize({sample("base"), "--candidate", "awq_g128", "--verdict"});
    ASSERT_EQ(r.code, 0) << r.err;
    const json j = json::parse(r.out);
    EXPECT_EQ(j["candidate"], "awq_g128");
    std::vector<std::string> layouts;
    for (const auto& l : j["layouts"]) {
        layouts.push_back(l["layout"]);
        ASSERT_EQ(l["engines"].size(), 5u);
        for (const auto& e : l["engines"]) EXPECT_TRUE(e["loads"] == "yes" || !e["why"].is_null()) << e;
    }
    EXPECT_EQ(layouts.front(), j["layout"]);
    EXPECT_NE(std::find(layouts.begin(), layouts.end(), "gptq_v2"), layouts.end());
    EXPECT_EQ(std::find(layouts.begin(), layouts.end(), "bitsandbytes"), layouts.end());
    EXPECT_TRUE(std::filesystem::is_empty(dir.path()));
}

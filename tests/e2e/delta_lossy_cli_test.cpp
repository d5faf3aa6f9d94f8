// SPDX-License-Identifier: Apache-2.0
// tenpak delta compress --mode … on the bundled sample: what is lost is said, everywhere, and measured.
#include <gtest/gtest.h>

#include <cmath>
#include <map>

#include "core/base/json.h"
#include "core/tensor/model_source.h"
#include "tests/core/delta/model_pair.h"
#include "tests/support/run_program.h"
#include "tests/support/temp_dir.h"

namespace tenpak {
namespace {

using test::read_tree;
using test::sample_dir;
using test::TempDir;

class DeltaLossyCli : public testing::Test {
   protected:
    void SetUp() override { setenv("XDG_CACHE_HOME", (dir_ / "cache").c_str(), 1); }
    Json json(std::vector<std::string> args) {
        args.push_back("--json");
        const auto r = test::tenpak(args);
        EXPECT_EQ(r.code, 0) << r.err;
        auto j = parse_json(r.out, "stdout");
        EXPECT_TRUE(j.ok()) << r.out;
        return j.ok() ? *j : Json{};
    }
    std::string at(const std::string& name) const { return (dir_ / name).string(); }
    TempDir dir_;
};

/// Largest difference of any weight of two models.
double largest_error(const std::filesystem::path& a, const std::filesystem::path& b) {
    const auto x = ModelDirectory::open(a), y = ModelDirectory::open(b);
    EXPECT_TRUE(x.ok() && y.ok());
    double most = 0;
    for (const TensorInfo& t : (*x)->tensors()) {
        const auto u = *(*x)->read_float(t), v = *(*y)->read_float(*(*y)->find(t.name));
        for (std::size_t i = 0; i < u.size(); ++i) most = std::max(most, std::fabs(static_cast<double>(u[i]) - static_cast<double>(v[i])));
    }
    return most;
}

TEST_F(DeltaLossyCli, EveryModeOfTheSampleSaysWhatItLost) {
    const std::string base = (sample_dir() / "base").string(), ft = (sample_dir() / "finetune").string(), text = (sample_dir() / "text/finetune.txt").string();
    const double lossless = json({"delta", "compress", base, ft, "-o", at("lossless.tnpk")})["stored_bytes"].get<double>();
    struct Limits {
        double of_lossless, error, perplexity;  ///< stored bytes over the lossless ones, error over the change, percent
    };
    const std::map<std::vector<std::string>, Limits> modes{{{"int8"}, {0.85, 0.06, 0.5}}, {{"int4"}, {0.55, 0.2, 3}}, {{"bit1"}, {0.35, 0.7, 40}}, {{"lowrank", "--rank", "16"}, {0.6, 0.95, 60}}};
    for (const auto& [mode, limits] : modes) {
        SCOPED_TRACE(mode[0]);
        const std::string x = at(mode[0] + ".tnpk");
        std::vector<std::string> args{"delta", "compress", base, ft, "-o", x, "--text", text, "--eval-samples", "8", "--mode"};
        args.insert(args.end(), mode.begin(), mode.end());
        const Json c = json(args);
        ASSERT_TRUE(c.contains("perplexity") && c["perplexity"].is_object()) << c.dump(1);
        EXPECT_EQ(c["lossless"], false);
        EXPECT_EQ(c["mode"], mode[0]);
        EXPECT_LT(c["stored_bytes"].get<double>(), limits.of_lossless * lossless);
        EXPECT_LT(c["delta_relative_error"].get<double>(), limits.error);
        EXPECT_LT(c["relative_error"].get<double>(), c["delta_relative_error"].get<double>());
        EXPECT_LT(std::fabs(c["perplexity"]["change_percent"].get<double>()), limits.perplexity);
        EXPECT_GT(c["perplexity"]["tokens"].get<int>(), 1000);
        EXPECT_EQ(c["files"], 6);
        const double error = c["max_abs_error"].get<double>();
        EXPECT_GT(error, 0);
        double worst = 0;
        for (const Json& t : c["tensors"]) {
            worst = std::max(worst, t["max_abs_error"].get<double>());
            EXPECT_TRUE(t.contains("bits_per_weight") && t.contains("delta_relative_error") && t.contains("method"));
            if (t["method"] == "int8-sparse" || t["method"] == "int4-groups") {
                EXPECT_TRUE(t["threshold"].get<double>() > 0 && t["considered"].size() == 3) << t.dump();
            }
        }
        EXPECT_EQ(worst, error);

        // The rebuilt model is the one recorded, and as far off as said.
        const Json r = json({"delta", "reconstruct", base, x, "-o", at(mode[0]), "--verify", "full"});
        EXPECT_EQ(r["lossless"], false);
        EXPECT_DOUBLE_EQ(largest_error(ft, dir_ / mode[0]), error);
        const auto was = read_tree(ft), is = read_tree(dir_ / mode[0]);
        for (const auto& [path, content] : was) EXPECT_EQ(is.at(path) == content, path != "model.safetensors") << path;
        // Its perplexity, measured on the rebuilt files.
        const Json e = json({"eval", at(mode[0]), "--text", text, "--eval-samples", "8"});
        EXPECT_NEAR(e["perplexity"].get<double>(), c["perplexity"]["rebuilt"].get<double>(), 1e-3);

        const Json i = json({"artifact", "inspect", x});
        EXPECT_EQ(i["lossless"], false);
        EXPECT_EQ(i["attestation"]["mode"], mode[0]);
        EXPECT_NEAR(std::stod(i["attestation"]["max_abs_error"].get<std::string>()), error, 1e-4 * error);
        EXPECT_TRUE(i["attestation"].contains("relative_error") && i["attestation"].contains("delta_relative_error"));
        const Json v = json({"artifact", "verify", x, "--base", base});
        EXPECT_EQ(v["rebuilt"], true);
        EXPECT_EQ(v["lossless_checked"], false) << "nobody is told that this is lossless";
    }
}

TEST_F(DeltaLossyCli, TextForPeopleNamesLossErrorAndReason) {
    const std::string base = (sample_dir() / "base").string(), ft = (sample_dir() / "finetune").string();
    const auto c = test::tenpak({"delta", "compress", base, ft, "-o", at("x.tnpk"), "--mode", "int4"});
    ASSERT_EQ(c.code, 0) << c.err;
    EXPECT_NE(c.out.find("LOSSY (mode int4): largest weight error"), std::string::npos) << c.out;
    EXPECT_NE(c.out.find("perplexity not measured: no --text was given"), std::string::npos) << c.out;
    EXPECT_EQ(c.out.find("lossless: rebuilt"), std::string::npos) << c.out;
    for (const auto& args : {std::vector<std::string>{"artifact", "inspect", at("x.tnpk")}, {"artifact", "verify", at("x.tnpk"), "--base", base}, {"delta", "reconstruct", base, at("x.tnpk"), "-o", at("out")}}) {
        const auto r = test::tenpak(args);
        EXPECT_EQ(r.code, 0) << r.err;
        EXPECT_TRUE(r.out.find("lossy") != std::string::npos || r.out.find("LOSSY") != std::string::npos) << r.out;
    }
}

TEST_F(DeltaLossyCli, WhereTheEngineCannotRunTheModelItSaysWhy) {
    test::write_model_pair(dir_.path(), {.layers = 1, .hidden = 256, .alpha = 0.05});
    dir_.write("text.txt", "some words to read");
    const Json c = json({"delta", "compress", at("base"), at("ft"), "-o", at("x.tnpk"), "--mode", "int4", "--text", at("text.txt")});
    EXPECT_TRUE(c["perplexity"].is_null());
    EXPECT_FALSE(c["perplexity_not_measured"].get<std::string>().empty());
    EXPECT_EQ(c["lossless"], false);
}

TEST_F(DeltaLossyCli, AMergedAdapterIsRecoveredRatherThanLost) {
    const std::string base = (sample_dir() / "base").string(), ft = (sample_dir() / "lora").string();
    const Json exact = json({"delta", "compress", base, ft, "-o", at("exact.tnpk")}), c = json({"delta", "compress", base, ft, "-o", at("x.tnpk"), "--mode", "int4"});
    EXPECT_EQ(c["lossless"], true) << "its factors and the residual cost less than 4 bits a weight";
    EXPECT_EQ(c["perplexity_not_measured"], "nothing was lost: it is the same");
    EXPECT_LT(c["stored_bytes"].get<double>(), 1.02 * exact["stored_bytes"].get<double>());
}

TEST_F(DeltaLossyCli, NothingToLoseIsLossless) {
    test::write_model_pair(dir_.path(), {.layers = 1, .hidden = 16, .vocabulary = 100});  // all tensors are small
    const Json c = json({"delta", "compress", at("base"), at("ft"), "-o", at("x.tnpk"), "--mode", "int4"});
    EXPECT_EQ(c["lossless"], true);
    EXPECT_EQ(c["max_abs_error"], 0.0);
    EXPECT_EQ(json({"artifact", "inspect", at("x.tnpk")})["lossless"], true);
    json({"delta", "reconstruct", at("base"), at("x.tnpk"), "-o", at("out"), "--verify", "full"});
    EXPECT_EQ(read_tree(dir_ / "out"), read_tree(dir_ / "ft"));
}

}  // namespace
}  // namespace tenpak

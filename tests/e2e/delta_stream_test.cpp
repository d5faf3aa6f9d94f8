// SPDX-License-Identifier: Apache-2.0
// A delta and its base are used as a model without the model being written: eval, bench, inspect, quantize, optimize, extract.
#include <gtest/gtest.h>

#include "core/base/json.h"
#include "tests/core/delta/model_pair.h"
#include "tests/support/run_program.h"
#include "tests/support/temp_dir.h"

namespace tenpak {
namespace {

using test::sample_dir;

class DeltaStream : public testing::Test {
   protected:
    void SetUp() override {
        setenv("XDG_CACHE_HOME", (dir_ / "cache").c_str(), 1);
        setenv("TENPAK_DATA_DIR", (dir_ / "data").c_str(), 1);
        run({"delta", "compress", base_, fine_, "-o", delta_});
    }
    Json run(std::vector<std::string> args, int code = 0) {
        args.push_back("--json");
        const auto r = test::tenpak(args);
        EXPECT_EQ(r.code, code) << args[0] << ": " << r.err;
        auto j = parse_json(r.out, "stdout");
        return j.ok() ? *j : Json();
    }
    test::TempDir dir_;
    const std::string base_ = sample_dir() / "base", fine_ = sample_dir() / "finetune", delta_ = dir_ / "x.tnpk", text_ = sample_dir() / "text/finetune.txt",
                      other_text_ = sample_dir() / "text/calibration.txt";
};

TEST_F(DeltaStream, EvalAndBenchAndInspect) {
    const std::vector<std::string> how = {"--text", text_, "--context", "64", "--eval-samples", "4"};
    const auto eval = [&](std::vector<std::string> args) {
        args.insert(args.end(), how.begin(), how.end());
        return run(args)["perplexity"];
    };
    EXPECT_EQ(eval({"eval", delta_, "--base", base_}), eval({"eval", fine_})) << "the same weights";
    EXPECT_GT(run({"bench", delta_, "--base", base_, "--prompt", "8", "--generate", "8", "--batch", "1"})["decode_tps"].get<double>(), 0);
    EXPECT_TRUE(run({"inspect", delta_, "--base", base_})["artifact"]["base_fits"].get<bool>());
    run({"inspect", delta_, "--base", fine_}, 3);
    run({"eval", delta_, "--text", text_}, 2);  // needs its base
}

TEST_F(DeltaStream, QuantizeGivesTheSameFiles) {
    const std::string a = dir_ / "from-delta", b = dir_ / "from-folder";
    run({"quantize", delta_, "--base", base_, "--candidate", "rtn_g128", "-o", a});
    run({"quantize", fine_, "--candidate", "rtn_g128", "-o", b});
    EXPECT_EQ(test::read_tree(a), test::read_tree(b));
}

TEST_F(DeltaStream, OptimizeMeasuresTheSamePerplexity) {
    const auto sweep = [&](std::vector<std::string> model) {
        std::vector<std::string> args = {"optimize", "--candidates", "rtn_g128", "--text", text_, "--calibration", other_text_, "--context", "64", "--eval-samples", "2", "--batch", "1", "--max-ppl-delta", "1000"};
        args.insert(args.begin() + 1, model.begin(), model.end());
        return run(args);
    };
    const Json d = sweep({delta_, "--base", base_}), f = sweep({fine_});
    ASSERT_EQ(d["candidates"].size(), 2u);
    for (std::size_t i = 0; i < 2; ++i) EXPECT_EQ(d["candidates"][i]["ppl"], f["candidates"][i]["ppl"]);
}

TEST_F(DeltaStream, ExtractReadsPartOfTheArtifact) {
    const std::string out = dir_ / "layer.safetensors";
    const Json j = run({"delta", "extract", base_, delta_, "--layer", "1", "-o", out});
    EXPECT_LT(j["stored_bytes_read"].get<double>(), 0.6 * j["stored_bytes"].get<double>());
    EXPECT_LT(j["chunks_read"].get<int>(), j["chunks"].get<int>());
    EXPECT_GT(run({"inspect", out})["tensors"].size(), 5u);
    run({"delta", "extract", base_, delta_, "--tensor", "no.such", "-o", dir_ / "none.safetensors"}, 1);
    run({"delta", "extract", base_, delta_, "-o", dir_ / "none.safetensors"}, 2);
    EXPECT_FALSE(std::filesystem::exists(dir_ / "none.safetensors"));
}

}  // namespace
}  // namespace tenpak

// SPDX-License-Identifier: Apache-2.0
// Only `tenpak worker` may open the CUDA driver: the dynamic linker's own trace says who looked for it.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>
#include <sstream>

#include "tests/e2e/optimize_support.h"

namespace tenpak::e2e {
namespace {

using testing::HasSubstr;
using testing::Not;

TEST(CudaIsolation, OnlyTheWorkerLooksForTheDriver) {
    const Bench bench;
    bench.script({{"fp16", {metrics(12, 0, 10, 100)}}});
    std::vector<std::string> env = bench.environment();
    env.emplace_back("LD_DEBUG=libs");
    const auto probe = test::run_program(test::bin_dir() / "tenpak", {"worker", "--probe"}, env);
    EXPECT_EQ(probe.code, 0);
    ASSERT_THAT(probe.err, HasSubstr("find library=libcuda.so.1")) << "else this test sees nothing";

    const std::vector<std::vector<std::string>> commands = {{"--version"}, {"delta", "estimate", test::sample_dir() / "base", test::sample_dir() / "lora"}, bench.arguments("fp16")};
    for (const auto& c : commands) {
        const auto r = test::run_program(test::bin_dir() / "tenpak", c, env);
        EXPECT_EQ(r.code, 0) << c[0];
        EXPECT_THAT(r.err, HasSubstr("find library=")) << c[0];
        EXPECT_THAT(r.err, Not(HasSubstr("libcuda"))) << c[0];
        EXPECT_THAT(r.err, Not(HasSubstr("tenpak_cuda"))) << c[0];
    }
}

// A model on a GPU runs in a worker: the process that was called never opens the driver, whatever comes of it.
TEST(CudaIsolation, AModelOnAGpuRunsInAWorker) {
    const auto text = test::sample_dir() / "text" / "base.txt";
    const std::vector<std::string> eval = {"eval", test::sample_dir() / "base", "--text", text, "--eval-samples", "1", "--device", "cuda:0"};
    const auto traced = test::run_program(test::bin_dir() / "tenpak", eval, {"LD_DEBUG=libs"});
    std::set<std::string> all, opened;
    std::istringstream lines(traced.err);
    for (std::string line; std::getline(lines, line);) {
        const std::size_t colon = line.find(':');
        const std::string pid = line.substr(0, colon == std::string::npos ? 0 : colon);
        if (pid.empty() || pid.find_first_not_of(" 0123456789") != std::string::npos) continue;
        all.insert(pid);
        if (line.find("find library=libcuda.so.1") != std::string::npos) opened.insert(pid);
    }
    EXPECT_EQ(opened.size(), 1u);
    EXPECT_GE(all.size(), 2u) << "the driver was looked for in the process that was called";
    const auto probe = test::run_program(test::bin_dir() / "tenpak", {"worker", "--probe"});
    if (probe.out.find("no NVIDIA driver") == std::string::npos) GTEST_SKIP() << "this machine has a driver";
    const auto r = test::run_program(test::bin_dir() / "tenpak", eval);
    EXPECT_NE(r.code, 0);
    EXPECT_THAT(r.err, HasSubstr("no NVIDIA driver found"));
    EXPECT_THAT(r.err, HasSubstr("--device cpu"));
    EXPECT_THAT(r.err, Not(HasSubstr("running on the CPU")));
    const auto bad = test::run_program(test::bin_dir() / "tenpak", {"eval", test::sample_dir() / "base", "--text", text, "--device", "gpu"});
    EXPECT_EQ(bad.code, 2);
    EXPECT_THAT(bad.err, HasSubstr("cuda:N"));
    const auto sweep = test::run_program(test::bin_dir() / "tenpak", {"optimize", test::sample_dir() / "base", "--device", "cuda"});
    EXPECT_NE(sweep.code, 0);
    EXPECT_THAT(sweep.err, HasSubstr("no NVIDIA driver"));
}

}  // namespace
}  // namespace tenpak::e2e

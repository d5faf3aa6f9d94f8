// SPDX-License-Identifier: Apache-2.0
// Only `tenpak worker` may open the CUDA driver: the dynamic linker's own trace says who looked for it.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

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

}  // namespace
}  // namespace tenpak::e2e

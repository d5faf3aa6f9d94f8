// SPDX-License-Identifier: Apache-2.0
// kill -9 of `tenpak optimize` at chosen and at random moments: its worker dies, and the same command goes on with only
// the trials that are missing.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <random>
#include <set>
#include <sstream>

#include "core/jobs/job_store.h"
#include "tests/e2e/optimize_support.h"

namespace tenpak::e2e {
namespace {

using testing::HasSubstr;

class OptimizeKill : public testing::Test, protected Bench {
   protected:
    std::set<std::string> done_in_store() const {
        std::set<std::string> done;
        auto s = jobs::JobStore::open(store());
        if (!s.ok()) return done;
        const auto list = (*s)->jobs();
        if (!list.ok()) return done;
        for (const auto& job : *list) {
            const auto trials = (*s)->trials(job.id);
            for (const auto& t : *trials) {
                if (t.status == optimizer::TrialStatus::kDone) done.insert(t.id);
            }
        }
        return done;
    }
};

TEST_F(OptimizeKill, GoesOnWithWhatIsMissing) {
    const auto gate = dir / "gate";
    script({{"fp16", {ran("fp16"), metrics(12, 0, 10, 100)}},
            {"int8", {ran("int8"), {{"wait_file", gate.string()}}, metrics(12.06, 0.5, 6, 200)}},
            {"awq_g128", {ran("awq_g128"), metrics(12.48, 4, 4, 300)}}});
    const pid_t pid = start(arguments("fp16,int8,awq_g128"));
    ASSERT_TRUE(wait_for([&] { return read_log() == "fp16\nint8\n"; })) << read_log();
    ASSERT_EQ(workers_of(pid).size(), 1u);
    kill9(pid);
    EXPECT_TRUE(wait_for([&] { return workers_of(pid).empty(); }, 2)) << "the worker dies with its parent";
    EXPECT_EQ(done_in_store(), (std::set<std::string>{"fp16"}));
    {
        const auto s = jobs::JobStore::open(store()).value();
        const std::vector<jobs::JobRecord> list = s->jobs().value();
        ASSERT_EQ(list.size(), 1u);
        EXPECT_TRUE(list[0].interrupted);
    }

    std::ofstream(gate) << "open";
    const auto r = run("fp16,int8,awq_g128");
    ASSERT_EQ(r.code, 0) << r.err;
    EXPECT_EQ(read_log(), "fp16\nint8\nint8\nawq_g128\n");
    EXPECT_THAT(r.err, HasSubstr("Going on with job"));
    EXPECT_THAT(r.err, HasSubstr("1 of 3"));
    EXPECT_EQ(Json::parse(r.out)["winner"]["candidate"], "int8");
    EXPECT_EQ(jobs::JobStore::open(store()).value()->jobs().value().size(), 1u) << "the same job";
}

TEST_F(OptimizeKill, AHangingWorkerThatIgnoresEverythingDiesToo) {
    script({{"fp16", {{{"ignore_cancel", true}}, ran("fp16"), {{"hang", true}}}}});
    const pid_t pid = start(arguments("fp16"));
    ASSERT_TRUE(wait_for([&] { return read_log() == "fp16\n"; }));
    ASSERT_EQ(workers_of(pid).size(), 1u);
    kill9(pid);
    EXPECT_TRUE(wait_for([&] { return workers_of(pid).empty(); }, 2));
}

TEST_F(OptimizeKill, InterruptStopsQuicklyAndGoesOn) {
    const auto gate = dir / "gate";
    script({{"fp16", {ran("fp16"), {{"wait_file", gate.string()}}, metrics(12, 0, 10, 100)}}});
    const pid_t pid = start(arguments("fp16"));
    ASSERT_TRUE(wait_for([&] { return read_log() == "fp16\n"; }));
    const auto asked = std::chrono::steady_clock::now();
    kill(pid, SIGINT);
    int status = 0;
    ASSERT_EQ(waitpid(pid, &status, 0), pid);
    EXPECT_LT(std::chrono::duration<double>(std::chrono::steady_clock::now() - asked).count(), 1.0);
    ASSERT_TRUE(WIFEXITED(status));
    EXPECT_EQ(WEXITSTATUS(status), 130);
    EXPECT_TRUE(workers_of(pid).empty());
    std::ofstream(gate) << "open";
    EXPECT_EQ(run("fp16").code, 0);
}

// Killed again and again at random moments: no trial that the store has as done runs a second time, and in the end all are.
TEST_F(OptimizeKill, RandomMoments) {
    const std::vector<std::string> names = {"fp16", "int8", "int8_g128", "rtn_g128", "awq_g128", "gptq_g128"};
    Json candidates;
    std::string list;
    for (const auto& n : names) {
        candidates[n] = {ran(n), {{"sleep_ms", 30}}, metrics(12, 0.5, 6, 200)};
        list += (list.empty() ? "" : ",") + n;
    }
    script(candidates);
    std::mt19937 rng(5);
    for (int round = 0; round < 10; ++round) {
        const std::set<std::string> done = done_in_store();
        const std::size_t logged = read_log().size();
        const pid_t pid = start(arguments(list));
        std::this_thread::sleep_for(std::chrono::milliseconds(20 + rng() % 150));
        kill9(pid);
        ASSERT_TRUE(wait_for([&] { return workers_of(pid).empty(); }, 2));
        std::istringstream added(read_log().substr(logged));
        for (std::string name; std::getline(added, name);) EXPECT_EQ(done.count(name), 0u) << name << " ran again in round " << round;
    }
    const auto r = run(list);
    ASSERT_EQ(r.code, 0) << r.err;
    EXPECT_EQ(done_in_store(), std::set<std::string>(names.begin(), names.end()));
}

}  // namespace
}  // namespace tenpak::e2e

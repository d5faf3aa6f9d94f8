// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>
#include <signal.h>
#include <sqlite3.h>
#include <sys/wait.h>
#include <unistd.h>

#include <fstream>
#include <thread>

#include "core/base/file.h"
#include "core/jobs/job_store.h"
#include "core/jobs/process_identity.h"
#include "tests/support/temp_dir.h"

namespace tenpak::jobs {
namespace {

std::unique_ptr<JobStore> open_store(const std::filesystem::path& path) {
    auto s = JobStore::open(path);
    EXPECT_TRUE(s.ok()) << s.error().text();
    return s.ok() ? std::move(*s) : nullptr;
}
JobRecord record(const std::string& spec, const std::string& key = {}) {
    JobRecord r;
    r.kind = "sweep";
    r.title = "base";
    r.spec_json = spec;
    r.result_key = key;
    r.hardware = "l4";
    r.limits.max_ppl_delta = 2;
    return r;
}
optimizer::Trial done_trial(const std::string& name, double ppl) {
    optimizer::Trial t;
    t.id = t.candidate = name;
    t.status = optimizer::TrialStatus::kDone;
    t.metrics.perplexity = ppl;
    return t;
}
void exec(const std::filesystem::path& path, const char* sql) {
    sqlite3* db = nullptr;
    ASSERT_EQ(sqlite3_open(path.c_str(), &db), SQLITE_OK);
    EXPECT_EQ(sqlite3_exec(db, sql, nullptr, nullptr, nullptr), SQLITE_OK) << sqlite3_errmsg(db);
    sqlite3_close(db);
}

TEST(JobStore, KeepsJobsAndTrialsOverReopening) {
    test::TempDir dir;
    const auto path = dir / "deep/er/jobs.sqlite";
    std::string id, second;
    {
        const auto s = open_store(path);
        ASSERT_TRUE(s);
        id = s->create_job(record("{1}"), {"fp16", "int8"}).value();
        second = s->create_job(record("{2}"), {"fp16"}).value();
        EXPECT_NE(id, second);
        ASSERT_TRUE(s->put_trial(id, done_trial("int8", 12.5)).ok());
        ASSERT_TRUE(s->set_status(id, JobStatus::kPaused, "why").ok());
        optimizer::Limits l;
        l.min_throughput_tps = 7;
        ASSERT_TRUE(s->set_limits(id, l).ok());
    }
    const auto s = open_store(path);
    const auto job = s->job(id);
    ASSERT_TRUE(job.ok()) << job.error().text();
    EXPECT_EQ(job->status, JobStatus::kPaused);
    EXPECT_EQ(job->error, "why");
    EXPECT_EQ(job->hardware, "l4");
    EXPECT_EQ(*job->limits.min_throughput_tps, 7);
    EXPECT_FALSE(job->limits.max_ppl_delta);
    const auto trials = s->trials(id);
    ASSERT_TRUE(trials.ok());
    ASSERT_EQ(trials->size(), 2u);
    EXPECT_EQ((*trials)[0].id, "fp16") << "order of creation";
    EXPECT_EQ((*trials)[0].status, optimizer::TrialStatus::kQueued);
    EXPECT_EQ((*trials)[1].metrics.perplexity, 12.5);
    const auto jobs = s->jobs();
    ASSERT_EQ(jobs->size(), 2u);
    EXPECT_EQ((*jobs)[0].id, second) << "newest first";
    ASSERT_TRUE(s->remove_job(second).ok());
    EXPECT_EQ(s->jobs()->size(), 1u);
    EXPECT_FALSE(s->trials(second).ok());
}

TEST(JobStore, UnknownNamesAreErrors) {
    test::TempDir dir;
    const auto s = open_store(dir / "j");
    const std::string id = s->create_job(record("{}"), {"fp16"}).value();
    EXPECT_EQ(s->job("x").error().code, ErrorCode::kNotFound);
    EXPECT_EQ(s->trials("x").error().code, ErrorCode::kNotFound);
    EXPECT_EQ(s->set_status("x", JobStatus::kDone, {}).error().code, ErrorCode::kNotFound);
    EXPECT_EQ(s->remove_job("x").error().code, ErrorCode::kNotFound);
    EXPECT_EQ(s->put_trial(id, done_trial("nf4", 1)).error().code, ErrorCode::kNotFound);
    EXPECT_EQ(s->claim("x").error().code, ErrorCode::kNotFound);
    EXPECT_EQ(s->create_job(record("{}"), {}).error().code, ErrorCode::kInvalidArgument);
    EXPECT_FALSE(s->create_job(record("{}"), {"fp16", "fp16"}).ok());
    EXPECT_EQ(s->jobs()->size(), 1u) << "a job that failed half way is not there";
}

TEST(JobStore, FindsUnfinishedAndResults) {
    test::TempDir dir;
    const auto s = open_store(dir / "j");
    const std::string a = s->create_job(record("{a}", "k1"), {"fp16", "int8"}).value();
    EXPECT_EQ(s->find_unfinished("{a}").value(), a);
    EXPECT_FALSE(s->find_unfinished("{b}").value());
    ASSERT_TRUE(s->set_status(a, JobStatus::kDone, {}).ok());
    EXPECT_FALSE(s->find_unfinished("{a}").value());

    EXPECT_FALSE(s->find_result("k1", "int8").value()) << "not measured yet";
    ASSERT_TRUE(s->put_trial(a, done_trial("int8", 1)).ok());
    const std::string b = s->create_job(record("{b}", "k1"), {"int8"}).value();
    ASSERT_TRUE(s->put_trial(b, done_trial("int8", 2)).ok());
    EXPECT_EQ(s->find_result("k1", "int8").value()->metrics.perplexity, 2) << "newest";
    EXPECT_FALSE(s->find_result("k1", "fp16").value());
    EXPECT_FALSE(s->find_result("k2", "int8").value());
    EXPECT_FALSE(s->find_result("", "int8").value()) << "no key, no sharing";
}

TEST(JobStore, OneOwnerAtATime) {
    test::TempDir dir;
    auto a = open_store(dir / "j");
    const auto b = open_store(dir / "j");
    const std::string id = a->create_job(record("{}"), {"fp16"}).value();
    EXPECT_TRUE(a->claim(id).value());
    EXPECT_TRUE(a->claim(id).value()) << "again by the same object";
    EXPECT_FALSE(b->claim(id).value());
    ASSERT_TRUE(b->release(id).ok());
    EXPECT_FALSE(b->claim(id).value()) << "nobody releases another's claim";
    a.reset();
    EXPECT_TRUE(b->claim(id).value()) << "a claim ends with its object";
}

TEST(JobStore, ADeadOwnersJobIsInterruptedAndFree) {
    test::TempDir dir;
    const auto s = open_store(dir / "j");
    const std::string id = s->create_job(record("{}"), {"fp16"}).value();
    int ready[2];
    ASSERT_EQ(pipe(ready), 0);
    const pid_t child = fork();
    if (child == 0) {
        auto mine = JobStore::open(dir / "j");
        const char ok = mine.ok() && (*mine)->claim(id).value() && (*mine)->set_status(id, JobStatus::kRunning, {}).ok() ? 'y' : 'n';
        if (write(ready[1], &ok, 1) != 1) _exit(1);
        for (;;) pause();
    }
    char ok = 0;
    ASSERT_EQ(read(ready[0], &ok, 1), 1);
    ASSERT_EQ(ok, 'y');
    EXPECT_FALSE(s->claim(id).value());
    EXPECT_FALSE(s->job(id)->interrupted);
    kill(child, SIGKILL);
    waitpid(child, nullptr, 0);
    EXPECT_TRUE(s->job(id)->interrupted);
    EXPECT_TRUE(s->claim(id).value());
    EXPECT_FALSE(s->job(id)->interrupted);
    close(ready[0]);
    close(ready[1]);
}

TEST(JobStore, RefusesForeignAndDamagedAndNewerFiles) {
    test::TempDir dir;
    const auto text = dir.write("notes.txt", std::string(5000, 'x'));
    EXPECT_EQ(JobStore::open(text).error().code, ErrorCode::kMalformed);
    EXPECT_EQ(read_text_file(text).value(), std::string(5000, 'x')) << "left as it was";

    const auto foreign = dir / "other.sqlite";
    exec(foreign, "CREATE TABLE recipes (id); INSERT INTO recipes VALUES (1);");
    const auto before = read_file(foreign).value();
    const auto r = JobStore::open(foreign);
    ASSERT_FALSE(r.ok());
    EXPECT_EQ(r.error().code, ErrorCode::kMalformed);
    EXPECT_EQ(read_file(foreign).value(), before) << "left as it was";

    EXPECT_EQ(JobStore::open(dir.path()).error().code, ErrorCode::kMalformed);
    const auto newer = dir / "newer.sqlite";
    open_store(newer).reset();
    exec(newer, "PRAGMA user_version = 99");
    EXPECT_EQ(JobStore::open(newer).error().code, ErrorCode::kUnsupported);

    const auto damaged = dir / "damaged.sqlite";
    {
        const auto s = open_store(damaged);
        for (int i = 0; i < 40; ++i) ASSERT_TRUE(s->create_job(record(std::string(3000, 'a')), {"fp16"}).ok());
    }
    ASSERT_FALSE(std::filesystem::exists(damaged.string() + "-wal")) << "checkpointed at close";
    {
        std::fstream f(damaged, std::ios::in | std::ios::out | std::ios::binary);
        f.seekp(4096 * 3);
        f << std::string(8192, '\x5a');
    }
    EXPECT_EQ(JobStore::open(damaged).error().code, ErrorCode::kMalformed);
}

TEST(JobStore, ReadOnlyPlaceIsAnError) {
    if (geteuid() == 0) {
        // root may write anywhere: a path below a regular file cannot be created by anybody
        test::TempDir dir;
        const auto file = dir.write("file", "x");
        const auto r = JobStore::open(file / "jobs.sqlite");
        ASSERT_FALSE(r.ok());
        EXPECT_FALSE(r.error().text().empty());
        return;
    }
    const auto r = JobStore::open("/proc/tenpak/jobs.sqlite");
    ASSERT_FALSE(r.ok());
}

TEST(JobStore, ManyThreadsAndObjectsAtOnce) {
    test::TempDir dir;
    const auto path = dir / "j";
    const std::string id = open_store(path)->create_job(record("{}"), {"a", "b", "c", "d"}).value();
    std::vector<std::thread> threads;
    std::atomic<int> failures{0};
    for (int n = 0; n < 4; ++n) {
        threads.emplace_back([&, n] {
            auto s = JobStore::open(path);
            if (!s.ok()) {
                ++failures;
                return;
            }
            const std::string name(1, static_cast<char>('a' + n));
            for (int i = 0; i < 20; ++i) {
                if (!(*s)->put_trial(id, done_trial(name, i)).ok() || !(*s)->trials(id).ok()) ++failures;
            }
        });
    }
    for (auto& t : threads) t.join();
    EXPECT_EQ(failures, 0);
    const auto trials = open_store(path)->trials(id);
    ASSERT_TRUE(trials.ok());
    for (const auto& t : *trials) EXPECT_EQ(t.metrics.perplexity, 19);
}

// A child writes trials and says so through a pipe, until it is killed at a random moment: what it said was written is there.
TEST(JobStore, NothingReportedIsLostByKill9) {
    test::TempDir dir;
    const auto path = dir / "j";
    const std::string id = open_store(path)->create_job(record("{}"), {"fp16"}).value();
    for (int round = 0; round < 6; ++round) {
        int said[2];
        ASSERT_EQ(pipe(said), 0);
        const pid_t child = fork();
        if (child == 0) {
            auto s = JobStore::open(path);
            if (!s.ok()) _exit(1);
            for (int i = 1;; ++i) {
                if (!(*s)->put_trial(id, done_trial("fp16", round * 1e6 + i)).ok() || write(said[1], &i, sizeof i) != sizeof i) _exit(1);
            }
        }
        close(said[1]);
        std::this_thread::sleep_for(std::chrono::milliseconds(20 + 17 * round));
        kill(child, SIGKILL);
        waitpid(child, nullptr, 0);
        int last = 0;
        for (int i; read(said[0], &i, sizeof i) == sizeof i;) last = i;
        close(said[0]);
        const auto trials = open_store(path)->trials(id);
        ASSERT_TRUE(trials.ok()) << trials.error().text();
        if (last > 0) {
            EXPECT_GE((*trials)[0].metrics.perplexity, round * 1e6 + last);
        }
    }
}

TEST(ProcessIdentity, KnowsTheLivingFromTheDead) {
    ProcessIdentity me = this_process();
    EXPECT_GT(me.start_ticks, 0u);
    EXPECT_TRUE(process_is_alive(me));
    ProcessIdentity reused = me;
    ++reused.start_ticks;
    EXPECT_FALSE(process_is_alive(reused)) << "same pid, another process";
    ProcessIdentity rebooted = me;
    rebooted.boot = "other";
    EXPECT_FALSE(process_is_alive(rebooted));
    ProcessIdentity elsewhere = reused;
    elsewhere.pid_namespace = "pid:[1]";
    EXPECT_TRUE(process_is_alive(elsewhere)) << "cannot be told";
    EXPECT_FALSE(process_is_alive({}));
}

}  // namespace
}  // namespace tenpak::jobs

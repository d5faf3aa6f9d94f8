// SPDX-License-Identifier: Apache-2.0
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <thread>

#include "core/jobs/recorded_sweep.h"
#include "tests/core/jobs/fake_script.h"

namespace tenpak::jobs {
namespace {

using optimizer::Trial;
using optimizer::TrialStatus;
using testing::HasSubstr;

class RunSweep : public testing::Test {
   protected:
    RunSweep() : store_(JobStore::open(dir_ / "jobs.sqlite").value()) { options_.retries = 0; }
    Json ran(const std::string& name, const Json& metrics) { return {fake::note(log_, name), metrics}; }
    std::string create(const SweepSpec& spec) { return store_->create_job(make_sweep_job(spec, {}, ""), spec.candidates).value(); }
    Status run(const std::string& id) {
        JobContext ctx;
        ctx.stop = stop_.get_token();
        return run_sweep(*store_, id, options_, [this](const Trial& t) {
            updates_.push_back(t);
            if (on_update_) on_update_(t);
        }, ctx);
    }
    Trial trial(const std::string& id, const std::string& name) {
        const std::vector<Trial> all = store_->trials(id).value();
        for (const Trial& t : all) {
            if (t.id == name) return t;
        }
        return {};
    }
    test::TempDir dir_;
    std::filesystem::path log_ = dir_ / "log";
    std::unique_ptr<JobStore> store_;
    SweepOptions options_ = fake::options();
    std::stop_source stop_;
    std::vector<Trial> updates_;
    std::function<void(const Trial&)> on_update_;
};

TEST_F(RunSweep, RunsFp16FirstAndAFailureFailsItsTrialOnly) {
    const SweepSpec spec = fake::spec_for(dir_, {{"awq_g128", ran("awq", fake::metrics(12.2, 1.5, 3, 500))},
                                                 {"fp16", ran("fp16", fake::metrics(12, 99, 5, 300))},
                                                 {"int8", {fake::note(log_, "int8"), {{"crash", "SIGSEGV"}}}}});
    const std::string id = create(spec);
    ASSERT_TRUE(run(id).ok());
    EXPECT_EQ(fake::read(log_), "fp16\nawq\nint8\n");
    EXPECT_EQ(store_->job(id)->status, JobStatus::kDone);
    EXPECT_EQ(trial(id, "fp16").metrics.ppl_delta, 0) << "fp16 is the reference";
    EXPECT_EQ(trial(id, "awq_g128").status, TrialStatus::kDone);
    const Trial failed = trial(id, "int8");
    EXPECT_EQ(failed.status, TrialStatus::kFailed);
    EXPECT_EQ(failed.error_code, "worker-crashed");
    EXPECT_THAT(failed.error, HasSubstr("SIGSEGV"));
    EXPECT_EQ(updates_.back().id, "int8");
    EXPECT_EQ(updates_.back().status, TrialStatus::kFailed);
}

TEST_F(RunSweep, WithoutFp16NothingCanBeCompared) {
    const SweepSpec spec = fake::spec_for(dir_, {{"fp16", {{{"error", "numeric"}, {"what", "NaN"}}}}, {"int8", ran("int8", fake::metrics(1, 1, 1, 1))}});
    const std::string id = create(spec);
    ASSERT_TRUE(run(id).ok());
    EXPECT_EQ(trial(id, "int8").status, TrialStatus::kFailed);
    EXPECT_EQ(fake::read(log_), "");
}

TEST_F(RunSweep, OnlyWhatIsMissingIsMeasuredAndResultsAreShared) {
    const Json all = {{"fp16", ran("fp16", fake::metrics(12, 0, 5, 300))}, {"int8", ran("int8", fake::metrics(12.1, 1, 4, 400))},
                      {"awq_g128", ran("awq", fake::metrics(12.2, 1.5, 3, 500))}};
    SweepSpec spec = fake::spec_for(dir_, all);
    SweepSpec few = spec;
    few.candidates = {"fp16", "int8"};
    const std::string first = create(few);
    ASSERT_TRUE(run(first).ok());
    EXPECT_EQ(fake::read(log_), "fp16\nint8\n");

    const std::string second = create(spec);
    ASSERT_TRUE(run(second).ok());
    EXPECT_EQ(fake::read(log_), "fp16\nint8\nawq\n") << "two of three were known";
    EXPECT_EQ(trial(second, "int8").measured_at, trial(first, "int8").measured_at);

    ASSERT_TRUE(run(second).ok()) << "a finished sweep runs nothing";
    EXPECT_EQ(fake::read(log_), "fp16\nint8\nawq\n");

    options_.fresh = true;
    const std::string third = create(few);
    ASSERT_TRUE(run(third).ok());
    EXPECT_EQ(fake::read(log_), "fp16\nint8\nawq\nfp16\nint8\n");

    options_.fresh = false;
    SweepSpec changed = few;
    changed.model_fingerprint = "another model";
    ASSERT_TRUE(run(create(changed)).ok());
    EXPECT_EQ(fake::read(log_), "fp16\nint8\nawq\nfp16\nint8\nfp16\nint8\n");
}

TEST_F(RunSweep, CancelKeepsWhatIsDoneAndTheJobGoesOn) {
    const auto go = dir_ / "go";
    const SweepSpec spec = fake::spec_for(dir_, {{"fp16", ran("fp16", fake::metrics(12, 0, 5, 300))},
                                                 {"int8", {fake::note(log_, "int8"), {{"wait_file", go.string()}}, fake::metrics(12.1, 1, 4, 400)}}});
    const std::string id = create(spec);
    on_update_ = [&](const Trial& t) {
        if (t.id == "int8" && t.status == TrialStatus::kRunning && fake::read(log_).find("int8") != std::string::npos) stop_.request_stop();
    };
    std::jthread nudge([&] {  // the worker reports no progress while it waits
        while (fake::read(log_).find("int8") == std::string::npos) std::this_thread::sleep_for(std::chrono::milliseconds(5));
        stop_.request_stop();
    });
    const Status s = run(id);
    nudge.join();
    ASSERT_FALSE(s.ok());
    EXPECT_EQ(s.error().code, ErrorCode::kCancelled);
    EXPECT_EQ(store_->job(id)->status, JobStatus::kCancelled);
    EXPECT_EQ(trial(id, "fp16").status, TrialStatus::kDone);
    EXPECT_EQ(trial(id, "int8").status, TrialStatus::kQueued);
    EXPECT_EQ(updates_.back().status, TrialStatus::kQueued);
    EXPECT_EQ(store_->find_unfinished(sweep_spec_json(spec)).value(), id);

    stop_ = std::stop_source();
    on_update_ = {};
    std::ofstream(go) << "go";
    ASSERT_TRUE(run(id).ok());
    EXPECT_EQ(fake::read(log_), "fp16\nint8\nint8\n");
    EXPECT_EQ(trial(id, "int8").status, TrialStatus::kDone);
}

TEST_F(RunSweep, OneProcessAtATime) {
    const std::string id = create(fake::spec_for(dir_, {{"fp16", ran("fp16", fake::metrics(12, 0, 5, 300))}}));
    const auto other = JobStore::open(dir_ / "jobs.sqlite").value();
    ASSERT_TRUE(other->claim(id).value());
    EXPECT_EQ(run(id).error().code, ErrorCode::kPermission);
    ASSERT_TRUE(other->release(id).ok());
    EXPECT_TRUE(run(id).ok());
    EXPECT_TRUE(other->claim(id).value()) << "released after the run";
}

TEST_F(RunSweep, ARecordedSweepSaysSo) {
    const SweepSpec spec = fake::spec_for(dir_, {{"fp16", ran("fp16", fake::metrics(12, 0, 5, 300))}, {"int8", ran("int8", fake::metrics(12.1, 1, 4, 400))}});
    const std::string id = create(spec);
    ASSERT_TRUE(run(id).ok());
    RecordedSweep r;
    r.spec = spec;
    r.limits.max_ppl_delta = 2;
    r.hardware = "l4";
    r.trials = store_->trials(id).value();
    const auto path = dir_ / "sweep.json";
    ASSERT_TRUE(save_recorded_sweep(path, r).ok());
    EXPECT_EQ(fake::read(path).find("/nowhere"), std::string::npos) << "no path of this machine";
    const auto back = load_recorded_sweep(path);
    ASSERT_TRUE(back.ok()) << back.error().text();
    EXPECT_EQ(back->device, "fake device");
    EXPECT_EQ(back->spec.model_path, "model");
    EXPECT_EQ(back->limits, r.limits);
    ASSERT_EQ(back->trials.size(), 2u);
    for (const Trial& t : back->trials) EXPECT_EQ(t.provenance, optimizer::Provenance::kRecorded);
    EXPECT_EQ(back->trials[1].metrics.perplexity, 12.1);
    EXPECT_EQ(back->trials[1].measured_at, r.trials[1].measured_at);

    const std::string text = fake::read(path);
    for (std::size_t n = 0; n < text.size() - 1; n += 7) {
        const auto cut = dir_.write("cut.json", text.substr(0, n));
        ASSERT_FALSE(load_recorded_sweep(cut).ok()) << n;
    }
    r.trials.clear();
    EXPECT_EQ(save_recorded_sweep(path, r).error().code, ErrorCode::kInvalidArgument);
}

TEST(PrepareSweep, RefusesEmptyAndDoubleCandidatesAndBadBatches) {
    SweepSpec s;
    s.backend = "fake:x";
    EXPECT_EQ(prepare_sweep(s).error().code, ErrorCode::kInvalidArgument);
    s.candidates = {"int8", "int8"};
    EXPECT_EQ(prepare_sweep(s).error().code, ErrorCode::kInvalidArgument);
    s.candidates = {"int3"};
    EXPECT_EQ(prepare_sweep(s).error().code, ErrorCode::kInvalidArgument);
    s.candidates = {"int8", "fp16"};
    const auto r = prepare_sweep(s);
    ASSERT_TRUE(r.ok()) << r.error().text();
    EXPECT_EQ(r->candidates, (std::vector<std::string>{"fp16", "int8"}));
    EXPECT_GT(r->eval_samples, 0u);
    s.batches = {4, 1, 4};
    EXPECT_EQ(prepare_sweep(s)->batches, (std::vector<std::uint32_t>{1, 4}));
    s.batches = {0};
    EXPECT_FALSE(prepare_sweep(s).ok());
    s.batches = {1};
    s.backend = "cuda:0";
    EXPECT_EQ(prepare_sweep(s).error().code, ErrorCode::kUnsupported);
}

}  // namespace
}  // namespace tenpak::jobs

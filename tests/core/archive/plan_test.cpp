// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include <algorithm>

#include "core/archive/archive.h"
#include "core/archive/scan.h"
#include "core/archive/sketch.h"
#include "tests/core/delta/model_pair.h"
#include "tests/support/temp_dir.h"

namespace tenpak::archive {
namespace {

using test::PairShape;

/// models/base, models/a and models/b of it, models/far of another family, models/group/single.safetensors.
class PlanTest : public testing::Test {
   protected:
    void SetUp() override {
        make("a", {.alpha = 0.01});
        fs::rename(dir_ / "tmp/base", dir_ / "models/base");
        make("b", {.alpha = -0.01});
        make("far", {.alpha = 0.01, .seed = 9});
        fs::create_directories(dir_ / "models/group");
        fs::copy_file(dir_ / "models/far/model.safetensors", dir_ / "models/group/single.safetensors");
        fs::copy_file(dir_ / "models/far/model.safetensors", dir_ / "models/group/second.safetensors");
    }
    void make(const std::string& name, PairShape s) {
        fs::remove_all(dir_ / "tmp");
        test::write_model_pair(dir_ / "tmp", s);
        fs::create_directories(dir_ / "models");
        fs::rename(dir_ / "tmp/ft", dir_ / "models" / name);
    }
    Options options() const {
        Options o;
        o.folders = {dir_ / "models"};
        return o;
    }
    static const PlannedDelta* find(const Plan& p, const std::string& name) {
        for (const auto& d : p.deltas)
            if (d.fine_tune.filename() == name) return &d;
        return nullptr;
    }
    static std::string reason(const Plan& p, const std::string& name) {
        for (const auto& s : p.skipped)
            if (s.path.filename() == name) return s.reason;
        return "";
    }
    test::TempDir dir_;
};

TEST_F(PlanTest, SketchesTellFamiliesApart) {
    const auto of = [&](const std::string& name) { return sketch(*ModelDirectory::open(dir_ / "models" / name).value(), {}).value(); };
    const Sketch base = of("base"), a = of("a"), b = of("b"), far = of("far");
    const auto whole = static_cast<double>(a.weight_bytes);
    EXPECT_LT(delta_bytes(base, a), 0.45 * whole);
    EXPECT_LT(delta_bytes(base, a), delta_bytes(b, a));
    EXPECT_GT(delta_bytes(base, far), 0.7 * whole);
    EXPECT_LT(delta_bytes(a, a), 0.01 * whole);
    EXPECT_NEAR(delta_bytes(base, a), delta_bytes(a, base), 0.05 * whole);
}

TEST_F(PlanTest, FindsTheBaseOfEachFamily) {
    const auto plan = make_plan(options(), {});
    ASSERT_TRUE(plan.ok()) << plan.error().text();
    EXPECT_EQ(plan->models.size(), 6u);
    for (const char* name : {"a", "b"}) {
        const PlannedDelta* d = find(*plan, name);
        ASSERT_NE(d, nullptr) << name;
        EXPECT_EQ(d->base.filename(), "base");
        EXPECT_EQ(d->artifact, fs::canonical(dir_ / "models") / (std::string(name) + ".tnpk"));
        EXPECT_LE(d->low, d->estimated_bytes);
        EXPECT_LE(d->estimated_bytes, d->high);
        EXPECT_LT(d->high, 0.6 * static_cast<double>(d->raw_bytes));
        EXPECT_NE(d->reason, "");
    }
    // The three copies: one stays, whichever is oldest; depth one.
    for (const auto& d : plan->deltas) EXPECT_EQ(find(*plan, d.base.filename().string()), nullptr) << d.base;
    EXPECT_EQ(plan->deltas.size(), 4u);
    EXPECT_FALSE(fs::exists(dir_ / "models/.tenpak-archive.jsonl")) << "planning writes nothing";
}

TEST_F(PlanTest, LinkedModelsOnlyServeAsBases) {
    // The hub cache: a snapshot of links into blobs.
    const fs::path blobs = dir_ / "hub/models--org--base/blobs", snapshot = dir_ / "hub/models--org--base/snapshots/0123456789012345678901234567890123456789";
    fs::create_directories(blobs);
    fs::create_directories(snapshot);
    for (const char* f : {"model.safetensors", "config.json", "tokenizer.json"}) {
        fs::rename(dir_ / "models/base" / f, blobs / f);
        fs::create_symlink(blobs / f, snapshot / f);
    }
    fs::remove(dir_ / "models/base");
    Options o = options();
    o.folders.push_back(dir_ / "hub");
    const auto plan = make_plan(o, {});
    ASSERT_TRUE(plan.ok()) << plan.error().text();
    ASSERT_NE(find(*plan, "a"), nullptr);
    EXPECT_EQ(find(*plan, "a")->base, fs::canonical(snapshot));
    EXPECT_NE(reason(*plan, snapshot.filename().string()).find("read only"), std::string::npos);
}

TEST_F(PlanTest, BasesOfArtifactsMadeByHandStay) {
    dir_.write("models/odd.tnpk", "no artifact at all");
    ASSERT_TRUE(make_plan(options(), {}).ok());
    // A linked folder is not entered.
    fs::create_directory_symlink(dir_ / "models", dir_ / "models/loop");
    EXPECT_EQ(make_plan(options(), {}).value().models.size(), 6u);
}

TEST_F(PlanTest, NestedModelsAndUnreadableOnes) {
    fs::copy(dir_ / "models/a", dir_ / "models/b/checkpoint-5", fs::copy_options::recursive);
    dir_.write("models/broken/model.safetensors", "no header");
    dir_.write("models/broken/config.json", "{}");
    const auto plan = make_plan(options(), {});
    ASSERT_TRUE(plan.ok()) << plan.error().text();
    EXPECT_EQ(find(*plan, "b"), nullptr);
    EXPECT_NE(reason(*plan, "b").find("inside"), std::string::npos) << reason(*plan, "b");
    EXPECT_NE(find(*plan, "checkpoint-5"), nullptr);
    EXPECT_NE(reason(*plan, "broken"), "");
}

TEST_F(PlanTest, BadRequests) {
    Options o = options();
    o.folders = {dir_ / "nowhere"};
    EXPECT_EQ(make_plan(o, {}).error().code, ErrorCode::kNotFound);
    o.folders = {};
    EXPECT_EQ(make_plan(o, {}).error().code, ErrorCode::kInvalidArgument);
    o = options();
    o.store = dir_ / "models/a";
    EXPECT_EQ(make_plan(o, {}).error().code, ErrorCode::kInvalidArgument);
    std::stop_source stop;
    stop.request_stop();
    JobContext ctx;
    ctx.stop = stop.get_token();
    EXPECT_EQ(make_plan(options(), ctx).error().code, ErrorCode::kCancelled);
}

}  // namespace
}  // namespace tenpak::archive

// SPDX-License-Identifier: Apache-2.0
#include "core/archive/tree.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include "tests/core/delta/model_pair.h"
#include "tests/support/temp_dir.h"

namespace tenpak::archive {
namespace {

class TreeTest : public testing::Test {
   protected:
    void SetUp() override { test::write_model_pair(dir_.path(), {.layers = 1, .hidden = 16, .vocabulary = 40}); }
    fs::path model() const { return dir_ / "ft"; }
    Tree list(std::string& blocker) const {
        auto t = list_tree(model(), blocker);
        EXPECT_TRUE(t.ok());
        return t.ok() ? *t : Tree();
    }
    test::TempDir dir_;
};

TEST_F(TreeTest, HiddenFilesAreExtrasAndComeBack) {
    dir_.write("ft/.cache/huggingface/model.metadata", "etag");
    fs::create_directories(model() / "empty");
    ASSERT_EQ(::chmod((model() / "config.json").c_str(), 0750), 0);
    std::string blocker;
    Tree t = list(blocker);
    EXPECT_EQ(blocker, "");
    ASSERT_EQ(t.files.front().path, ".cache/huggingface/model.metadata");
    EXPECT_TRUE(t.files.front().extra);
    EXPECT_EQ(as_text(t.files.front().content), "etag");
    ASSERT_TRUE(hash_tree(model(), t, "test", {}).ok());
    const Json j = tree_to_json(t);
    const auto back = tree_from_json(j, "test");
    ASSERT_TRUE(back.ok()) << back.error().text();
    EXPECT_TRUE(back->same_metadata(t));

    // As a rebuilt model: without the extras, the empty folder, permissions and times.
    const fs::path rebuilt = dir_ / "rebuilt";
    fs::copy(model(), rebuilt, fs::copy_options::recursive);
    fs::remove_all(rebuilt / ".cache");
    fs::remove_all(rebuilt / "empty");
    ASSERT_TRUE(restore_metadata(rebuilt, t).ok());
    std::string none;
    EXPECT_TRUE(list_tree(rebuilt, none).value().same_metadata(t));
    EXPECT_EQ(test::read_tree(rebuilt), test::read_tree(model()));
}

TEST_F(TreeTest, WhatCannotBePutBackIsSaid) {
    std::string blocker;
    dir_.write("ft/.git/objects/pack", std::string(kMaxExtraBytes + 1, 'x'));
    EXPECT_TRUE(list(blocker).complete);
    EXPECT_NE(blocker.find(".git/objects/pack"), std::string::npos) << blocker;
    fs::remove_all(model() / ".git");
    fs::create_symlink("/etc/hostname", model() / "link.txt");
    EXPECT_FALSE(list(blocker).complete);
    EXPECT_NE(blocker.find("link.txt"), std::string::npos) << blocker;
}

TEST_F(TreeTest, RemovesOnlyWhatIsRecorded) {
    std::string blocker;
    const Tree t = list(blocker);
    const auto before = test::read_tree(model());
    const fs::path stranger = dir_.write("ft/notes.txt", "mine");
    EXPECT_EQ(remove_tree(model(), t, {}).error().code, ErrorCode::kMismatch);
    fs::remove(stranger);
    fs::create_symlink("/", model() / "root");
    EXPECT_EQ(remove_tree(model(), t, {}).error().code, ErrorCode::kMismatch);
    fs::remove(model() / "root");
    EXPECT_EQ(test::read_tree(model()), before) << "a refusal removes nothing";
    dir_.write("ft/config.json", "changed");
    EXPECT_EQ(remove_tree(model(), t, {}).error().code, ErrorCode::kMismatch);
    dir_.write("ft/config.json", before.at("config.json"));
    ASSERT_TRUE(restore_metadata(model(), t).ok());
    ASSERT_TRUE(remove_tree(model(), t, {}).ok());
    EXPECT_FALSE(fs::exists(model()));
    EXPECT_TRUE(remove_tree(model(), t, {}).ok()) << "gone already";
}

TEST_F(TreeTest, RenameNeverReplaces) {
    EXPECT_EQ(rename_new(dir_ / "ft", dir_ / "base").error().code, ErrorCode::kMismatch);
    EXPECT_TRUE(fs::exists(dir_ / "ft"));
    EXPECT_TRUE(rename_new(dir_ / "ft", dir_ / "new").ok());
}

TEST_F(TreeTest, HostileRecordsAreRefused) {
    std::string blocker;
    const Json good = tree_to_json(list(blocker));
    const auto refused = [&](const std::function<void(Json&)>& change) {
        Json j = good;
        change(j);
        return !tree_from_json(j, "test").ok();
    };
    EXPECT_TRUE(refused([](Json& j) { j["files"][0]["path"] = "../../etc/passwd"; }));
    EXPECT_TRUE(refused([](Json& j) { j["files"][0]["path"] = "/etc/passwd"; }));
    EXPECT_TRUE(refused([](Json& j) { j["files"][0]["mode"] = 070000; }));
    EXPECT_TRUE(refused([](Json& j) { j["files"][0]["sha256"] = "12"; }));
    EXPECT_TRUE(refused([](Json& j) { j["folders"][0]["path"] = ".."; }));
    EXPECT_TRUE(refused([](Json& j) { j["files"] = Json::array(); }));
    EXPECT_TRUE(refused([](Json& j) { j["single_file"] = true; }));
}

}  // namespace
}  // namespace tenpak::archive

// SPDX-License-Identifier: Apache-2.0
// A rebuild that was killed goes on from the blocks that lie there, and trusts none that is not right.
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>

#include "core/base/partial_directory.h"
#include "core/delta/compress.h"
#include "core/delta/reconstruct.h"
#include "tests/core/delta/memory_blocks.h"
#include "tests/core/delta/model_pair.h"

namespace tenpak::delta {
namespace {

/// Counts reads, and dies at one of them.
class Watched final : public BlockSource {
   public:
    Watched(const BlockSource& s, int die_at) : s_(s), die_at_(die_at) {}
    const ModelRecord& model() const override { return s_.model(); }
    const std::vector<FileRecord>& files() const override { return s_.files(); }
    const std::vector<BlockInfo>& blocks() const override { return s_.blocks(); }
    Result<Bytes> read_block(BlockId id) const override {
        if (++reads == die_at_) kill(getpid(), SIGKILL);
        return s_.read_block(id);
    }
    mutable std::atomic<int> reads{0};

   private:
    const BlockSource& s_;
    int die_at_;
};

class Resume : public testing::Test {
   protected:
    void SetUp() override {
        setenv("XDG_CACHE_HOME", (dir_ / "cache").c_str(), 1);
        test::write_model_pair(dir_ / "m", {.shards = 2});
        std::ofstream(dir_ / "m/ft/run.sh") << "#!/bin/sh\n";
        fs::permissions(dir_ / "m/ft/run.sh", fs::perms::owner_all);
        base_ = ModelDirectory::open(dir_ / "m/base").value();
        ASSERT_TRUE(compress(*base_, *ModelDirectory::open(dir_ / "m/ft").value(), blocks_, {.threads = 1, .block_weights = 4096}, {}).ok());
    }
    void killed_at(int read) {
        const pid_t pid = fork();
        if (pid == 0) {
            const Watched w(blocks_, read);
            (void)reconstruct(w, base_.get(), dir_ / "out", {.threads = 2}, {}).ok();
            _exit(0);
        }
        int status = 0;
        waitpid(pid, &status, 0);
        ASSERT_TRUE(WIFSIGNALED(status));
    }
    test::TempDir dir_;
    test::MemoryBlocks blocks_;
    std::shared_ptr<const ModelDirectory> base_;
};

TEST_F(Resume, GoesOnFromAnyPointWithWhatIsThere) {
    const Watched all(blocks_, -1);
    ASSERT_TRUE(reconstruct(all, base_.get(), dir_ / "whole", {.threads = 2}, {}).ok());
    const int total = all.reads;
    const auto wanted = test::read_tree(dir_ / "m/ft");
    for (const Verify verify : {Verify::kStored, Verify::kFull}) {
        for (int at : {1, 2, total / 3, total / 2, total - 1}) {
            killed_at(at);
            ASSERT_TRUE(fs::exists(PartialDirectory::name_for(dir_ / "out"))) << at;
            ASSERT_FALSE(fs::exists(dir_ / "out"));
            const Watched rest(blocks_, -1);
            const auto r = reconstruct(rest, base_.get(), dir_ / "out", {.threads = 2, .verify = verify}, {});
            ASSERT_TRUE(r.ok()) << r.error().text();
            EXPECT_EQ(test::read_tree(dir_ / "out"), wanted) << at;
            EXPECT_NE(fs::status(dir_ / "out/run.sh").permissions() & fs::perms::owner_exec, fs::perms::none);
            EXPECT_FALSE(fs::exists(PartialDirectory::name_for(dir_ / "out")));
            if (at >= total / 3) {
                EXPECT_GT(r->resumed_bytes, 0u) << at;
                EXPECT_LE(rest.reads, total - at + 4) << at << ": blocks that were there are not decoded again";
            }
            fs::remove_all(dir_ / "out");
        }
    }
}

TEST_F(Resume, DamageInWhatIsThereIsRepaired) {
    const Watched all(blocks_, -1);
    ASSERT_TRUE(reconstruct(all, base_.get(), dir_ / "whole", {.threads = 2}, {}).ok());
    killed_at(all.reads - 2);
    const fs::path partial = PartialDirectory::name_for(dir_ / "out") / "files";
    for (const auto& e : fs::recursive_directory_iterator(partial)) {
        if (!e.is_regular_file() || e.file_size() < 100) continue;
        auto bytes = read_file(e.path()).value();
        bytes[bytes.size() / 2] ^= std::byte{1};
        bytes.resize(bytes.size() + 1000, std::byte{7});  // and too long
        std::ofstream(e.path(), std::ios::binary) << as_text(bytes);
    }
    ASSERT_TRUE(reconstruct(blocks_, base_.get(), dir_ / "out", {}, {}).ok());
    EXPECT_EQ(test::read_tree(dir_ / "out"), test::read_tree(dir_ / "m/ft"));
}

TEST_F(Resume, CancelLeavesNothing) {
    std::stop_source stop;
    JobContext ctx;
    ctx.stop = stop.get_token();
    ctx.on_progress = [&](const Progress& p) {
        if (p.phase == "rebuild" && p.done > p.total / 3) stop.request_stop();
    };
    const auto r = reconstruct(blocks_, base_.get(), dir_ / "out", {}, ctx);
    ASSERT_FALSE(r.ok());
    EXPECT_EQ(r.error().code, ErrorCode::kCancelled);
    EXPECT_FALSE(fs::exists(dir_ / "out"));
    EXPECT_FALSE(fs::exists(PartialDirectory::name_for(dir_ / "out")));
}

}  // namespace
}  // namespace tenpak::delta

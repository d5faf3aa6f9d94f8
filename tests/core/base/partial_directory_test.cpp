// SPDX-License-Identifier: Apache-2.0
// What killed writers leave, and that only that is removed or gone on with.
#include "core/base/partial_directory.h"

#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <set>

#include "tests/support/temp_dir.h"

namespace tenpak {
namespace {

std::set<std::string> entries(const fs::path& p) {
    std::set<std::string> s;
    for (const auto& e : fs::directory_iterator(p)) s.insert(e.path().filename().string());
    return s;
}
/// Runs in a process that kills itself (die()) before anything of it is destroyed.
[[noreturn]] void die() {
    kill(getpid(), SIGKILL);
    _exit(1);
}
template <class F>
void killed(const F& body) {
    const pid_t pid = fork();
    if (pid == 0) {
        body();
        _exit(1);
    }
    int status = 0;
    waitpid(pid, &status, 0);
    ASSERT_TRUE(WIFSIGNALED(status));
}

TEST(StaleTemporaries, OnlyThoseOfDeadProcessesGo) {
    const test::TempDir dir;
    killed([&] {
        auto f = AtomicFile::create(dir / "x");
        auto d = AtomicDirectory::create(dir / "y");
        if (!f.ok() || !d.ok() || !f->write(as_bytes("half")).ok() || !write_file_atomic(d->path() / "part", as_bytes("z")).ok()) _exit(1);
        die();
    });
    EXPECT_EQ(entries(dir.path()).size(), 2u);
    auto live = AtomicFile::create(dir / "x");
    ASSERT_TRUE(live.ok());
    dir.write("x.tmp-notours", "mine");
    dir.write("x.tmp-1-2-0000000g", "mine");
    dir.write("xx.tmp-1-2-00000000", "mine");
    EXPECT_EQ(remove_stale_temporaries(dir / "x"), 1u);
    EXPECT_TRUE(fs::exists(live->temporary())) << "a writer at work keeps its file";
    EXPECT_EQ(remove_stale_temporaries(dir / "y"), 1u);
    EXPECT_EQ(entries(dir.path()), (std::set<std::string>{"x.tmp-notours", "x.tmp-1-2-0000000g", "xx.tmp-1-2-00000000", live->temporary().filename().string()}));
    ASSERT_TRUE(live->commit().ok());
    EXPECT_EQ(remove_stale_temporaries(dir / "nowhere/x"), 0u);
}

TEST(PartialDirectory, GoesOnAfterKillAndBeginsAnewForAnotherIdentity) {
    const test::TempDir dir;
    const auto interrupted = [&] {
        killed([&] {
            auto d = PartialDirectory::open(dir / "out", "one");
            if (!d.ok()) _exit(1);
            auto f = PartialFile::open(d->files() / "weights");
            if (!f.ok() || !f->write_at(4, as_bytes("5678")).ok()) _exit(1);
            die();
        });
    };
    interrupted();
    EXPECT_EQ(entries(dir.path()), (std::set<std::string>{".out.tenpak-partial"}));
    {
        auto d = PartialDirectory::open(dir / "out", "one");
        ASSERT_TRUE(d.ok()) << d.error().text();
        EXPECT_TRUE(d->resumed());
        const auto second = PartialDirectory::open(dir / "out", "one");
        ASSERT_FALSE(second.ok());
        EXPECT_EQ(second.error().code, ErrorCode::kPermission);
        auto f = PartialFile::open(d->files() / "weights");
        ASSERT_TRUE(f.ok());
        Bytes there(4);
        EXPECT_TRUE(f->read_earlier(4, there));
        EXPECT_EQ(as_text(there), "5678");
        EXPECT_FALSE(f->read_earlier(5, there));
        ASSERT_TRUE(f->write_at(0, as_bytes("1234")).ok());
        ASSERT_TRUE(f->finish(7, true).ok());
        ASSERT_TRUE(d->commit().ok());
    }
    EXPECT_EQ(entries(dir.path()), (std::set<std::string>{"out"}));
    EXPECT_EQ(read_text_file(dir / "out/weights").value(), "1234567");
    EXPECT_EQ(PartialDirectory::open(dir / "out", "one").error().code, ErrorCode::kInvalidArgument);
    fs::remove_all(dir / "out");
    interrupted();
    {
        auto d = PartialDirectory::open(dir / "out", "two");
        ASSERT_TRUE(d.ok());
        EXPECT_FALSE(d->resumed());
        EXPECT_TRUE(fs::is_empty(d->files()));
    }
    EXPECT_TRUE(fs::is_empty(dir.path())) << "dropped, it vanishes";
}

}  // namespace
}  // namespace tenpak

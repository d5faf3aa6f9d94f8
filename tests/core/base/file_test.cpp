// SPDX-License-Identifier: Apache-2.0
#include "core/base/file.h"

#include <gtest/gtest.h>
#include <sys/mount.h>
#include <unistd.h>

#include "tests/support/temp_dir.h"

using namespace tenpak;
using tenpak::test::TempDir;

static std::size_t entries(const fs::path& p) {
    return static_cast<std::size_t>(std::distance(fs::directory_iterator(p), fs::directory_iterator{}));
}

TEST(File, ReadsExactlyOrSaysWhereItEnds) {
    TempDir d;
    const auto p = d.write("a.bin", "0123456789");
    auto f = File::open(p);
    ASSERT_TRUE(f.ok());
    Bytes b(4);
    ASSERT_TRUE(f->read_at(3, b).ok());
    EXPECT_EQ(as_text(b), "3456");
    const Status s = f->read_at(8, b);
    ASSERT_FALSE(s.ok());
    EXPECT_EQ(s.error().code, ErrorCode::kMalformed);
    EXPECT_EQ(File::open(d / "none").error().code, ErrorCode::kNotFound);
    EXPECT_EQ(File::open(d.path()).error().code, ErrorCode::kInvalidArgument);
}

TEST(AtomicFile, AppearsOnlyAtCommitAndLeavesNothingOtherwise) {
    TempDir d;
    d.write("out", "old");
    {
        auto f = AtomicFile::create(d / "out");
        ASSERT_TRUE(f.ok());
        ASSERT_TRUE(f->write(as_bytes("new content")).ok());
        EXPECT_EQ(*read_text_file(d / "out"), "old");
    }
    EXPECT_EQ(*read_text_file(d / "out"), "old");
    EXPECT_EQ(entries(d.path()), 1u);
    auto f = AtomicFile::create(d / "out");
    ASSERT_TRUE(f.ok());
    ASSERT_TRUE(f->write(as_bytes("..w content")).ok());
    ASSERT_TRUE(f->write_at(0, as_bytes("ne")).ok());
    ASSERT_TRUE(f->commit().ok());
    EXPECT_EQ(*read_text_file(d / "out"), "new content");
    EXPECT_EQ(entries(d.path()), 1u);
    EXPECT_EQ(AtomicFile::create(d / "no/such/folder").error().code, ErrorCode::kNotFound);
}

TEST(AtomicFile, FullDiskIsAnErrorAndNoHalfFile) {
    TempDir d;
    if (mount("tmpfs", d.path().c_str(), "tmpfs", 0, "size=64k") != 0) GTEST_SKIP() << "SKIPPED: mounting a small tmpfs needs root";
    {
        auto f = AtomicFile::create(d / "out");
        ASSERT_TRUE(f.ok());
        const Bytes chunk(16 << 10);
        Status s;
        for (int i = 0; i < 64 && s.ok(); ++i) s = f->write(chunk);
        ASSERT_FALSE(s.ok());
        EXPECT_EQ(s.error().code, ErrorCode::kNoSpace);
    }
    EXPECT_EQ(entries(d.path()), 0u);
    umount(d.path().c_str());
}

TEST(AtomicDirectory, AppearsWholeOrNotAtAll) {
    TempDir d;
    {
        auto dir = AtomicDirectory::create(d / "out");
        ASSERT_TRUE(dir.ok());
        ASSERT_TRUE(write_file_atomic(dir->path() / "f", as_bytes("x")).ok());
    }
    EXPECT_EQ(entries(d.path()), 0u);
    auto dir = AtomicDirectory::create(d / "out/");
    ASSERT_TRUE(dir.ok());
    fs::create_directories(dir->path() / "sub");
    ASSERT_TRUE(write_file_atomic(dir->path() / "sub/f", as_bytes("x")).ok());
    ASSERT_TRUE(dir->commit().ok());
    EXPECT_EQ(*read_text_file(d / "out/sub/f"), "x");
    EXPECT_EQ(AtomicDirectory::create(d / "out").error().code, ErrorCode::kInvalidArgument);
}

TEST(RelativePath, RefusesWhatCouldEscape) {
    for (const char* ok : {"a", "model.safetensors", "sub/dir/file.json", "ü.txt", ".hidden", "a..b"}) EXPECT_TRUE(check_relative_path(ok).ok()) << ok;
    for (const std::string& bad : {std::string(""), std::string("/a"), std::string("a/"), std::string("a//b"), std::string("../a"), std::string("a/../b"), std::string("./a"), std::string("a\\b"), std::string("C:x"),
                                  std::string("nul"), std::string("COM1.txt"), std::string("a\0b", 3), std::string("a\nb"), std::string("\xff"), std::string("\xc0\xaf"), std::string("a. "), std::string(2000, 'a')}) {
        EXPECT_FALSE(check_relative_path(bad).ok()) << bad;
    }
}

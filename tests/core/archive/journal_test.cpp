// SPDX-License-Identifier: Apache-2.0
#include "core/archive/journal.h"

#include <gtest/gtest.h>

#include <fstream>
#include <iterator>

#include "core/archive/known_homes.h"
#include "tests/support/temp_dir.h"

namespace tenpak::archive {
namespace {

Entry begun(const fs::path& home) {
    Entry e;
    e.id = new_entry_id();
    e.original = home / "models" / "ft";
    e.artifact = home / "models" / "ft.tnpk";
    e.base = "/elsewhere/base";
    return e;
}
Entry stored(Entry e) {
    e.state = State::kStored;
    e.tree.files = {{"model.safetensors", 5, 0640, -1, sha256(as_bytes("a")), false, {}}, {".meta", 3, 0600, 7, sha256(as_bytes("b")), true, Bytes(3, std::byte{0xab})}};
    e.tree.folders = {{"", 0755, 11}, {"sub", 0700, 12}};
    e.manifest_sha256 = to_hex(sha256(as_bytes("m")));
    e.base_sha256 = to_hex(sha256(as_bytes("n")));
    e.stored_bytes = 99;
    return e;
}
std::string slurp(const fs::path& p) {
    std::ifstream in(p, std::ios::binary);
    return {std::istreambuf_iterator<char>(in), {}};
}

class JournalTest : public testing::Test {
   protected:
    test::TempDir dir_;
    fs::path home() const { return dir_.path(); }
    fs::path file() const { return home() / kJournalName; }
    Entry write_all() {
        auto j = Journal::open(home()).value();
        Entry e = begun(home());
        EXPECT_TRUE(j->record(e).ok());
        e = stored(e);
        EXPECT_TRUE(j->record(e).ok());
        e.state = State::kReplacing;
        EXPECT_TRUE(j->record(e).ok());
        return e;
    }
};

TEST_F(JournalTest, WhatIsRecordedIsReadBack) {
    const Entry e = write_all();
    const auto entries = Journal::read(home()).value();
    ASSERT_EQ(entries.size(), 1u);
    const Entry& r = entries.at(e.id);
    EXPECT_EQ(r.state, State::kReplacing);
    EXPECT_EQ(r.original, e.original);
    EXPECT_EQ(r.artifact, e.artifact);
    EXPECT_EQ(r.base, e.base);
    EXPECT_TRUE(r.tree.same_metadata(e.tree));
    EXPECT_EQ(r.tree.files[0].sha256, e.tree.files[0].sha256);
    EXPECT_EQ(r.tree.files[1].content, e.tree.files[1].content);
    EXPECT_EQ(r.manifest_sha256, e.manifest_sha256);
    EXPECT_EQ(r.stored_bytes, 99u);
    EXPECT_EQ(slurp(file()).find(home().string()), std::string::npos) << "paths below home are relative: the folder can be moved";
}

// A crash in the middle of any append: what was whole before counts, the next append follows it.
TEST_F(JournalTest, TornAtEveryByte) {
    const Entry e = write_all();
    const std::string whole = slurp(file());
    const std::size_t second = whole.find('\n') + 1, third = whole.find('\n', second) + 1;
    for (std::size_t cut = second; cut < whole.size(); ++cut) {
        std::ofstream(file(), std::ios::binary | std::ios::trunc) << whole.substr(0, cut);
        const auto entries = Journal::read(home());
        ASSERT_TRUE(entries.ok()) << cut << ": " << entries.error().text();
        ASSERT_EQ(entries->at(e.id).state, cut < third ? State::kBegun : State::kStored) << cut;
        if (cut % 97 != 0) continue;
        auto j = Journal::open(home());
        ASSERT_TRUE(j.ok()) << j.error().text();
        Entry next = (*j)->entries().at(e.id);
        next.state = State::kClosed;
        ASSERT_TRUE((*j)->record(next).ok());
        j->reset();
        EXPECT_EQ(Journal::read(home()).value().at(e.id).state, State::kClosed);
    }
    // The length reached the disk, the content did not.
    std::ofstream(file(), std::ios::binary | std::ios::trunc) << whole.substr(0, third) << std::string(40, '\0') << '\n';
    EXPECT_EQ(Journal::read(home()).value().at(e.id).state, State::kStored);
}

TEST_F(JournalTest, DamageBeforeTheEndIsAnError) {
    write_all();
    const std::string whole = slurp(file());
    const std::size_t second = whole.find('\n') + 1, third = whole.find('\n', second) + 1;
    for (std::size_t at = 0; at < third - 1; at += 3) {
        std::string bad = whole;
        bad[at] = static_cast<char>(bad[at] ^ 1);
        std::ofstream(file(), std::ios::binary | std::ios::trunc) << bad;
        const auto entries = Journal::read(home());
        ASSERT_FALSE(entries.ok()) << at;
        EXPECT_EQ(entries.error().code, ErrorCode::kMalformed) << entries.error().text();
    }
}

TEST_F(JournalTest, OneAtATime) {
    const auto first = Journal::open(home()).value();
    const auto second = Journal::open(home());
    ASSERT_FALSE(second.ok());
    EXPECT_EQ(second.error().code, ErrorCode::kPermission);
}

TEST_F(JournalTest, HomesAreRememberedOnce) {
    write_all();
    const fs::path list = home() / "data" / "archives.txt";
    EXPECT_TRUE(known_homes(list).empty());
    ASSERT_TRUE(remember_home(list, home()).ok());
    ASSERT_TRUE(remember_home(list, home()).ok());
    EXPECT_EQ(known_homes(list), std::vector<fs::path>{home()});
    fs::remove(file());
    EXPECT_TRUE(known_homes(list).empty());
}

}  // namespace
}  // namespace tenpak::archive

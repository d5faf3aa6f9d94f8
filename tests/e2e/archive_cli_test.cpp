// SPDX-License-Identifier: Apache-2.0
// tenpak delta archive as a user runs it: what frees the disk must never lose a model, wherever it is killed.
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <random>
#include <thread>

#include "core/archive/journal.h"
#include "core/base/json.h"
#include "tests/core/delta/model_pair.h"
#include "tests/support/run_program.h"
#include "tests/support/temp_dir.h"

namespace tenpak {
namespace {

namespace fs = std::filesystem;
using test::PairShape;
using test::read_tree;
using test::TempDir;

/// Everything that undo must bring back.
std::map<std::string, std::string> snapshot(const fs::path& model) {
    std::map<std::string, std::string> s = fs::is_directory(model) ? read_tree(model) : std::map<std::string, std::string>{};
    const auto note = [&](const fs::path& p, const std::string& name) {
        struct stat st{};
        if (::lstat(p.c_str(), &st) != 0) return;
        s["stat of " + name] = std::to_string(st.st_mode) + " " + std::to_string(st.st_mtim.tv_sec) + "." + std::to_string(st.st_mtim.tv_nsec) + (S_ISREG(st.st_mode) ? " " + std::to_string(st.st_size) : "");
    };
    note(model, ".");
    if (fs::is_directory(model))
        for (const auto& e : fs::recursive_directory_iterator(model)) note(e.path(), fs::relative(e.path(), model).string());
    return s;
}
void set_time(const fs::path& p, long seconds, long nanoseconds) {
    const timespec t[2]{{seconds, nanoseconds}, {seconds, nanoseconds}};
    ASSERT_EQ(utimensat(AT_FDCWD, p.c_str(), t, 0), 0);
}

class ArchiveCli : public testing::Test {
   protected:
    struct Outcome {
        int code = -1;
        std::string out, err;
        Json json;
    };
    void SetUp() override {
        setenv("XDG_CACHE_HOME", (dir_ / "cache").c_str(), 1);
        setenv("TENPAK_DATA_DIR", (dir_ / "data").c_str(), 1);
        make("a", {.layers = 1, .hidden = 48, .vocabulary = 100, .alpha = 0.01});
        fs::rename(dir_ / "tmp/base", models() / "base");
        set_time(models() / "base/model.safetensors", 1'300'000'000, 0);  // of two alike, the older one is the base
    }
    void make(const std::string& name, const PairShape& s) {
        fs::remove_all(dir_ / "tmp");
        test::write_model_pair(dir_ / "tmp", s);
        fs::create_directories(models());
        fs::rename(dir_ / "tmp/ft", models() / name);
    }
    void make_b() { make("b", {.layers = 1, .hidden = 48, .vocabulary = 100, .alpha = -0.01}); }
    /// What real folders have: hidden files of download tools, an empty folder, permissions and old times.
    void decorate(const std::string& name) {
        const fs::path m = models() / name;
        fs::create_directories(m / ".cache/huggingface");
        std::ofstream(m / ".cache/huggingface/model.metadata") << "etag";
        fs::create_directories(m / "logs/empty");
        ASSERT_EQ(::chmod((m / "config.json").c_str(), 0750), 0);
        ASSERT_EQ(::chmod((m / "model.safetensors").c_str(), 0440), 0);
        for (const auto& e : fs::recursive_directory_iterator(m)) set_time(e.path(), 1'600'000'000, 123'456'789);
        ASSERT_EQ(::chmod((m / "logs").c_str(), 0700), 0);
        set_time(m, 1'500'000'000, 1);
    }
    fs::path models() const { return dir_ / "models"; }
    Outcome tenpak(const std::vector<std::string>& args, const std::vector<std::string>& env = {}) const {
        const auto r = test::tenpak(args, env);
        Outcome o{r.code, r.out, r.err, {}};
        if (auto j = parse_json(o.out, "stdout"); j.ok()) o.json = std::move(*j);
        return o;
    }
    Outcome archive(const std::vector<std::string>& more = {"--replace"}, const std::vector<std::string>& env = {}) const {
        std::vector<std::string> args = {"delta", "archive", models().string(), "--json"};
        args.insert(args.end(), more.begin(), more.end());
        return tenpak(args, env);
    }
    Outcome undo(const std::vector<std::string>& env = {}) const { return tenpak({"delta", "archive", "--undo", models().string(), "--json"}, env); }
    /// The model is where it was, or (under its trash name, or in an artifact that rebuilds) all of it is to be had.
    void expect_safe(const std::string& name, const std::map<std::string, std::string>& before, const std::string& when) const {
        if (fs::exists(models() / name)) {
            EXPECT_EQ(snapshot(models() / name), before) << when << ": the model in place is not what it was";
            return;
        }
        for (const auto& e : fs::directory_iterator(models()))
            if (e.path().filename().string().starts_with("." + name + ".tenpak-trash-") && snapshot(e.path()) == before) return;
        TempDir out;
        const auto r = test::tenpak({"delta", "reconstruct", (models() / "base").string(), (models() / (name + ".tnpk")).string(), "-o", (out / "x").string(), "--verify", "full"});
        ASSERT_EQ(r.code, 0) << when << ": the model is lost: " << r.err;
        for (const auto& [path, content] : read_tree(out / "x")) EXPECT_EQ(content, before.at(path)) << when;
    }
    std::set<std::string> entries() const {
        std::set<std::string> s;
        for (const auto& e : fs::directory_iterator(models())) s.insert(e.path().filename().string());
        return s;
    }
    TempDir dir_;
};

TEST_F(ArchiveCli, DryRunShowsThePlanAndWritesNothing) {
    make_b();
    const auto before = snapshot(models());
    const Outcome o = archive({"--dry-run"});
    ASSERT_EQ(o.code, 0) << o.err;
    ASSERT_EQ(o.json["plan"].size(), 2u);
    for (const Json& p : o.json["plan"]) {
        for (const char* k : {"fine_tune", "base", "raw_bytes", "estimated_bytes", "low", "high", "reason"}) EXPECT_TRUE(p.contains(k)) << k;
        EXPECT_EQ(fs::path(p["base"].get<std::string>()).filename(), "base");
        EXPECT_LT(p["estimated_bytes"].get<double>(), 0.6 * p["raw_bytes"].get<double>());
    }
    for (const char* k : {"models", "done", "raw_bytes", "stored_bytes", "freed_bytes", "skipped"}) EXPECT_TRUE(o.json.contains(k)) << k;
    EXPECT_EQ(snapshot(models()), before);
    EXPECT_FALSE(fs::exists(dir_ / "data"));
}

TEST_F(ArchiveCli, ReplaceRerunAndUndo) {
    make_b();
    decorate("a");
    const auto a = snapshot(models() / "a"), b = snapshot(models() / "b"), base = snapshot(models() / "base");
    const Outcome o = archive();
    ASSERT_EQ(o.code, 0) << o.err;
    ASSERT_EQ(o.json["done"].size(), 2u);
    for (const Json& d : o.json["done"]) {
        EXPECT_TRUE(d["verified"].get<bool>());
        EXPECT_TRUE(d["replaced"].get<bool>());
        EXPECT_EQ(d["stored_bytes"], fs::file_size(d["artifact"].get<std::string>()));
    }
    EXPECT_EQ(entries(), (std::set<std::string>{"base", "a.tnpk", "b.tnpk", archive::kJournalName}));
    EXPECT_GT(o.json["freed_bytes"].get<std::uint64_t>(), o.json["stored_bytes"].get<std::uint64_t>());
    EXPECT_EQ(snapshot(models() / "base"), base);

    const auto stored = snapshot(models() / "a.tnpk");
    const Outcome again = archive();
    ASSERT_EQ(again.code, 0) << again.err;
    EXPECT_EQ(again.json["plan"].size(), 0u);
    EXPECT_TRUE(again.json["done"][0]["earlier"].get<bool>());
    EXPECT_EQ(snapshot(models() / "a.tnpk"), stored) << "what is finished is not done again";

    const Outcome u = undo();
    ASSERT_EQ(u.code, 0) << u.err;
    EXPECT_EQ(u.json["undone"].size(), 2u);
    EXPECT_EQ(snapshot(models() / "a"), a);
    EXPECT_EQ(snapshot(models() / "b"), b);
    EXPECT_EQ(entries(), (std::set<std::string>{"base", "a", "b", archive::kJournalName}));
    EXPECT_EQ(undo().code, 0) << "nothing left to undo";
}

TEST_F(ArchiveCli, WithoutReplaceOriginalsStayAndUndoOfOneKeepsTheOther) {
    make_b();
    const auto a = snapshot(models() / "a");
    ASSERT_EQ(archive({}).code, 0);
    EXPECT_EQ(entries(), (std::set<std::string>{"base", "a", "b", "a.tnpk", "b.tnpk", archive::kJournalName}));
    const Outcome u = tenpak({"delta", "archive", "--undo", (models() / "a.tnpk").string(), "--json"});
    ASSERT_EQ(u.code, 0) << u.err;
    EXPECT_EQ(snapshot(models() / "a"), a);
    EXPECT_FALSE(fs::exists(models() / "a.tnpk"));
    EXPECT_TRUE(fs::exists(models() / "b.tnpk"));
    // A model that was written to since keeps its artifact.
    std::ofstream(models() / "b/config.json") << "{}";
    EXPECT_EQ(undo().code, 1);
    EXPECT_TRUE(fs::exists(models() / "b.tnpk"));
    const Outcome r = archive();
    EXPECT_EQ(r.code, 1);
    EXPECT_EQ(read_tree(models() / "b").at("config.json"), "{}") << "a changed model is not removed";
}

TEST_F(ArchiveCli, StoreElsewhereAndSingleFiles) {
    make_b();
    for (const char* m : {"a", "b", "base"}) {  // a folder of lone files
        fs::rename(models() / m / "model.safetensors", models() / (std::string(m) + ".safetensors"));
        fs::remove_all(models() / m);
    }
    set_time(models() / "a.safetensors", 1'400'000'000, 5);
    const auto a = snapshot(models() / "a.safetensors");
    const std::string store = dir_ / "store", bytes = read_tree(models()).at("a.safetensors");
    const Outcome o = archive({"--replace", "-o", store});
    ASSERT_EQ(o.code, 0) << o.err;
    EXPECT_EQ(entries(), (std::set<std::string>{"base.safetensors"}));
    EXPECT_TRUE(fs::exists(store + "/a.tnpk"));
    // The base of an archive elsewhere stays, whoever asks.
    fs::copy_file(models() / "base.safetensors", models() / "copy.safetensors");
    const Outcome second = archive({"--replace"});
    ASSERT_EQ(second.code, 0) << second.err;
    EXPECT_TRUE(fs::exists(models() / "base.safetensors"));
    EXPECT_FALSE(fs::exists(models() / "copy.safetensors"));
    const Outcome u = tenpak({"delta", "archive", "--undo", store, "--json"});
    ASSERT_EQ(u.code, 0) << u.err;
    EXPECT_EQ(read_tree(models()).at("a.safetensors"), bytes);
    EXPECT_EQ(snapshot(models() / "a.safetensors"), a);
    EXPECT_FALSE(fs::exists(store + "/a.tnpk"));
}

TEST_F(ArchiveCli, ChangedBaseAndDamagedArtifactLoseNothing) {
    const auto a = snapshot(models() / "a");
    ASSERT_EQ(archive().code, 0);
    const auto refused = [&](const std::string& what) {
        const Outcome u = undo();
        EXPECT_EQ(u.code, 3) << what << ": " << u.err;
        const auto at = u.err.find("tenpak: error[");
        ASSERT_NE(at, std::string::npos) << what;
        EXPECT_EQ(u.err.find('\n', at), u.err.size() - 1) << what << ": one line: " << u.err;
        EXPECT_EQ(entries(), (std::set<std::string>{"base", "a.tnpk", archive::kJournalName})) << what;
    };
    const std::string artifact = read_tree(models()).at("a.tnpk");
    for (const std::size_t at : {std::size_t{3}, artifact.size() / 2, artifact.size() - 1}) {
        std::string bad = artifact;
        bad[at] = static_cast<char>(bad[at] ^ 4);
        std::ofstream(models() / "a.tnpk", std::ios::binary) << bad;
        refused("flipped byte " + std::to_string(at));
    }
    std::ofstream(models() / "a.tnpk", std::ios::binary) << artifact.substr(0, artifact.size() / 3);
    fs::resize_file(models() / "a.tnpk", artifact.size() / 3);
    refused("truncated");
    std::ofstream(models() / "a.tnpk", std::ios::binary) << artifact;
    const std::string weights = read_tree(models() / "base").at("model.safetensors");
    std::string other = weights;
    for (std::size_t i = weights.size() - 20000; i < weights.size(); i += 97) other[i] = static_cast<char>(other[i] ^ 1);
    std::ofstream(models() / "base/model.safetensors", std::ios::binary) << other;
    refused("changed base");
    std::ofstream(models() / "base/model.safetensors", std::ios::binary) << weights;
    fs::rename(models() / "base", models() / "base2");
    EXPECT_EQ(undo().code, 3) << "missing base";
    fs::rename(models() / "base2", models() / "base");
    ASSERT_EQ(undo().code, 0);
    EXPECT_EQ(snapshot(models() / "a"), a);
}

// Died at the N-th change on disk, for every N: nothing is lost, and the same command goes on.
TEST_F(ArchiveCli, KilledAtEveryStep) {
    decorate("a");
    const auto a = snapshot(models() / "a"), base = snapshot(models() / "base");
    int steps = 0;
    for (int n = 1;; ++n) {
        ASSERT_LT(n, 100);
        const Outcome o = archive({"--replace"}, {"TENPAK_TEST_KILL_AT_STEP=" + std::to_string(n)});
        if (o.code == 0) break;
        ++steps;
        const std::string when = "killed at step " + std::to_string(n);
        ASSERT_EQ(o.code, 128 + SIGKILL) << when << o.err;
        expect_safe("a", a, when);
        const Outcome again = archive();
        ASSERT_EQ(again.code, 0) << when << ": " << again.err;
        EXPECT_TRUE(again.json["done"][0]["replaced"].get<bool>()) << when;
        EXPECT_EQ(entries(), (std::set<std::string>{"base", "a.tnpk", archive::kJournalName})) << when;
        ASSERT_EQ(undo().code, 0) << when;
        EXPECT_EQ(snapshot(models() / "a"), a) << when;
        EXPECT_EQ(entries(), (std::set<std::string>{"base", "a", archive::kJournalName})) << when;
    }
    EXPECT_GE(steps, 14);
    // The same for undo. It is archived now.
    for (int n = 1;; ++n) {
        ASSERT_LT(n, 100);
        const Outcome o = undo({"TENPAK_TEST_KILL_AT_STEP=" + std::to_string(n)});
        if (o.code == 0) break;
        ++steps;
        const std::string when = "undo killed at step " + std::to_string(n);
        ASSERT_EQ(o.code, 128 + SIGKILL) << when << o.err;
        expect_safe("a", a, when);
        ASSERT_EQ(undo().code, 0) << when;
        EXPECT_EQ(snapshot(models() / "a"), a) << when;
        EXPECT_EQ(entries(), (std::set<std::string>{"base", "a", archive::kJournalName})) << when;
        ASSERT_EQ(archive().code, 0) << when;
    }
    EXPECT_GE(steps, 22);
    EXPECT_EQ(snapshot(models() / "base"), base);
    EXPECT_EQ(snapshot(models() / "a"), a);
}

// The artifact went bad between the rename and the second look at it: the original comes back.
TEST_F(ArchiveCli, ABadSecondReadingBringsTheOriginalBack) {
    const auto a = snapshot(models() / "a");
    int n = 1;
    for (; n < 40 && archive({"--replace"}, {"TENPAK_TEST_KILL_AT_STEP=" + std::to_string(n)}).code != 0; ++n) {
        if (!fs::exists(models() / "a") && fs::exists(models() / "a.tnpk")) break;
        ASSERT_EQ(undo().code, 0);
    }
    ASSERT_FALSE(fs::exists(models() / "a"));
    std::string artifact = read_tree(models()).at("a.tnpk");
    artifact[artifact.size() - 5] = static_cast<char>(artifact[artifact.size() - 5] ^ 1);
    std::ofstream(models() / "a.tnpk", std::ios::binary) << artifact;
    const Outcome o = archive();
    EXPECT_EQ(o.code, 3) << o.err;
    EXPECT_EQ(snapshot(models() / "a"), a);
}

// Killed again and again at random moments, archive and undo in turns.
TEST_F(ArchiveCli, KilledAtRandomMoments) {
    make_b();
    decorate("b");
    const auto a = snapshot(models() / "a"), b = snapshot(models() / "b");
    std::mt19937 rng(3);
    const std::string program = test::bin_dir() / "tenpak", folder = models();
    for (int round = 0; round < 40; ++round) {
        const bool back = round % 8 >= 5;
        const pid_t pid = fork();
        if (pid == 0) {
            freopen("/dev/null", "w", stdout);
            freopen("/dev/null", "w", stderr);
            if (back) execl(program.c_str(), "tenpak", "delta", "archive", "--undo", folder.c_str(), nullptr);
            else execl(program.c_str(), "tenpak", "delta", "archive", folder.c_str(), "--replace", nullptr);
            _exit(127);
        }
        std::this_thread::sleep_for(std::chrono::milliseconds(rng() % 220));
        kill(pid, SIGKILL);
        waitpid(pid, nullptr, 0);
        const std::string when = "round " + std::to_string(round);
        expect_safe("a", a, when);
        expect_safe("b", b, when);
        if (HasFatalFailure()) return;
    }
    const Outcome o = archive();
    ASSERT_EQ(o.code, 0) << o.err;
    EXPECT_EQ(entries(), (std::set<std::string>{"base", "a.tnpk", "b.tnpk", archive::kJournalName}));
    ASSERT_EQ(undo().code, 0);
    EXPECT_EQ(snapshot(models() / "a"), a);
    EXPECT_EQ(snapshot(models() / "b"), b);
}

TEST_F(ArchiveCli, StrangersAreLeftAlone) {
    // Something of the user's has the artifact's name; another run is at work; the base came to need the disk itself.
    std::ofstream(models() / "a.tnpk") << "mine";
    const Outcome o = archive();
    EXPECT_EQ(o.code, 0) << o.err;
    EXPECT_EQ(o.json["plan"].size(), 0u);
    EXPECT_EQ(read_tree(models()).at("a.tnpk"), "mine");
    fs::remove(models() / "a.tnpk");
    {
        const auto lock = archive::Journal::open(fs::canonical(models()));
        ASSERT_TRUE(lock.ok());
        const Outcome busy = archive();
        EXPECT_EQ(busy.code, 1);
        EXPECT_NE(busy.err.find("another tenpak"), std::string::npos) << busy.err;
    }
    std::ofstream(models() / "a/.git") << std::string(300'000, 'g');
    EXPECT_EQ(archive().code, 0);  // the other one may become a delta of this one
    EXPECT_TRUE(fs::exists(models() / "a/.git")) << "hidden files that would be lost keep a model in place";
    EXPECT_TRUE(fs::exists(models() / "a/model.safetensors"));
}

TEST_F(ArchiveCli, FullDiskAndFileSizeLimit) {
    const auto a = snapshot(models() / "a");
    // A file may not grow beyond 4 KiB: the write fails in the middle.
    const auto r = test::run_program("/bin/bash", {"-c", "trap '' XFSZ; ulimit -f 4; exec \"$0\" \"$@\"", test::bin_dir() / "tenpak", "delta", "archive", models(), "--replace"});
    EXPECT_EQ(r.code, 1) << r.err;
    EXPECT_EQ(snapshot(models() / "a"), a);
    EXPECT_EQ(entries(), (std::set<std::string>{"base", "a", archive::kJournalName})) << "no half file";
    const fs::path small = dir_ / "small";
    fs::create_directories(small);
    if (mount("none", small.c_str(), "tmpfs", 0, "size=8k") != 0) GTEST_SKIP() << "cannot mount a small disk (not root): a full disk is NOT tested here";
    const Outcome o = archive({"--replace", "-o", small});
    EXPECT_EQ(o.code, 1);
    EXPECT_NE(o.err.find("error[no-space]"), std::string::npos) << o.err;
    EXPECT_EQ(snapshot(models() / "a"), a);
    for (const auto& e : fs::directory_iterator(small)) EXPECT_EQ(e.path().filename(), archive::kJournalName);
    umount(small.c_str());
}

TEST_F(ArchiveCli, BadUsage) {
    EXPECT_EQ(tenpak({"delta", "archive"}).code, 2);
    EXPECT_EQ(tenpak({"delta", "archive", models(), "--undo", models()}).code, 2);
    EXPECT_EQ(tenpak({"delta", "archive", dir_ / "nowhere"}).code, 1);
    EXPECT_EQ(tenpak({"delta", "archive", "--undo", models()}).code, 1) << "nothing was archived there";
    EXPECT_EQ(archive({"--min-saving", "100"}).code, 2);
    const Outcome o = archive({"--min-saving", "99"});
    EXPECT_EQ(o.code, 0);
    EXPECT_EQ(o.json["plan"].size(), 0u);
}

}  // namespace
}  // namespace tenpak

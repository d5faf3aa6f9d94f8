// SPDX-License-Identifier: Apache-2.0
// tenpak delta as a user runs it: what it prints, its exit codes, and that bad input leaves nothing behind.
#include <gtest/gtest.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmath>
#include <set>

#include "core/base/json.h"
#include "tests/core/delta/model_pair.h"
#include "tests/support/run_program.h"
#include "tests/support/temp_dir.h"

namespace tenpak {
namespace {

using test::read_tree;
using test::sample_dir;
using test::TempDir;

class DeltaCli : public testing::Test {
   protected:
    void SetUp() override { setenv("XDG_CACHE_HOME", (dir_ / "cache").c_str(), 1); }
    struct Outcome {
        int code = -1;
        std::string out, err;
        Json json;
    };
    Outcome tenpak(const std::vector<std::string>& args) {
        const auto r = test::tenpak(args);
        Outcome o{r.code, r.out, r.err, {}};
        if (auto j = parse_json(o.out, "stdout"); j.ok()) o.json = std::move(*j);
        return o;
    }
    /// One line "tenpak: error[CODE]: …" on stderr, and this exit code.
    void expect_refused(const std::vector<std::string>& args, int exit_code, const std::string& code) {
        const Outcome o = tenpak(args);
        EXPECT_EQ(o.code, exit_code) << o.err;
        const auto at = o.err.find("tenpak: error[" + code + "]: ");
        ASSERT_NE(at, std::string::npos) << o.err;
        EXPECT_EQ(o.err.find('\n', at), o.err.size() - 1) << "one line: " << o.err;
        EXPECT_EQ(o.out, "");
    }
    std::set<std::string> entries() const {
        std::set<std::string> s;
        for (const auto& e : std::filesystem::directory_iterator(dir_.path())) s.insert(e.path().filename().string());
        return s;
    }
    std::string at(const std::string& name) const { return (dir_ / name).string(); }
    TempDir dir_;
};

std::set<std::string> keys(const Json& j) {
    std::set<std::string> k;
    for (const auto& item : j.items()) k.insert(item.key());
    return k;
}
void expect_keys(const Json& j, const std::vector<std::string>& wanted) {
    const auto have = keys(j);
    for (const auto& k : wanted) EXPECT_TRUE(have.contains(k)) << k;
}

TEST_F(DeltaCli, SampleJourneyEstimateCompressReconstruct) {
    const std::string base = sample_dir() / "base";
    for (const auto& [name, limit] : {std::pair{"finetune", 0.50}, std::pair{"lora", 0.40}}) {
        const std::string ft = sample_dir() / name, out = at(std::string(name) + ".tnpk"), rebuilt = at(std::string(name) + "-rebuilt");
        const Outcome e = tenpak({"delta", "estimate", base, ft, "--json"});
        ASSERT_EQ(e.code, 0) << e.err;
        expect_keys(e.json, {"raw_bytes", "estimated_bytes", "low", "high", "saved_fraction", "sampled_fraction", "seconds", "tensors"});
        expect_keys(e.json["tensors"][0], {"name", "method", "changed_fraction", "raw_bytes", "estimated_bytes", "low", "high", "complete"});
        const Outcome c = tenpak({"delta", "compress", base, ft, "-o", out, "--json"});
        ASSERT_EQ(c.code, 0) << c.err;
        expect_keys(c.json, {"output", "raw_bytes", "stored_bytes", "saved_fraction", "bits_per_weight", "seconds", "methods", "lossless", "max_abs_error"});
        const auto stored = c.json["stored_bytes"].get<double>(), raw = c.json["raw_bytes"].get<double>();
        EXPECT_EQ(stored, static_cast<double>(std::filesystem::file_size(out)));
        EXPECT_LE(stored, limit * raw);
        EXPECT_TRUE(c.json["lossless"].get<bool>());
        const auto low = e.json["low"].get<double>(), high = e.json["high"].get<double>();
        EXPECT_LE(low, stored);
        EXPECT_GE(high, stored);
        EXPECT_LT(std::abs(stored - (low + high) / 2), 0.03 * (low + high) / 2);
        const Outcome r = tenpak({"delta", "reconstruct", base, out, "-o", rebuilt, "--verify", "full", "--json"});
        ASSERT_EQ(r.code, 0) << r.err;
        expect_keys(r.json, {"bytes_written", "seconds", "gb_per_s", "verified"});
        EXPECT_EQ(r.json["verified"], "full");
        EXPECT_EQ(r.json["bytes_written"].get<double>(), raw);
        EXPECT_EQ(read_tree(rebuilt), read_tree(ft));
    }
}

TEST_F(DeltaCli, StreamPrintsASnapshotALine) {
    const Outcome o = tenpak({"delta", "estimate", sample_dir() / "base", sample_dir() / "finetune", "--stream", "--quiet"});
    ASSERT_EQ(o.code, 0) << o.err;
    std::istringstream lines(o.out);
    std::string line;
    int n = 0;
    bool finished = false;
    while (std::getline(lines, line)) {
        const auto j = parse_json(line, "line");
        ASSERT_TRUE(j.ok()) << j.error().text();
        expect_keys(*j, {"estimated_bytes", "low", "high", "tensors", "finished"});
        finished = j->at("finished").get<bool>();
        ++n;
    }
    EXPECT_GE(n, 1);
    EXPECT_TRUE(finished);
    EXPECT_EQ(o.err, "");
}

TEST_F(DeltaCli, FolderFormAndPlainText) {
    test::write_model_pair(dir_.path(), {});
    const Outcome c = tenpak({"delta", "compress", at("base"), at("ft"), "-o", at("x.tnpk"), "--form", "dir"});
    ASSERT_EQ(c.code, 0) << c.err;
    EXPECT_NE(c.out.find("lossless"), std::string::npos);
    EXPECT_TRUE(std::filesystem::exists(dir_ / "x.tnpk/manifest.json"));
    const Outcome r = tenpak({"delta", "reconstruct", at("base"), at("x.tnpk"), "-o", at("out")});
    ASSERT_EQ(r.code, 0) << r.err;
    EXPECT_EQ(read_tree(dir_ / "out"), read_tree(dir_ / "ft"));
}

TEST_F(DeltaCli, SignsWhatItWrites) {
    test::write_model_pair(dir_.path(), {.layers = 1});
    ASSERT_EQ(tenpak({"artifact", "keygen", "-o", at("keys")}).code, 0);
    const Outcome c = tenpak({"delta", "compress", at("base"), at("ft"), "-o", at("x.tnpk"), "--sign-key", at("keys/tenpak.key"), "--json"});
    ASSERT_EQ(c.code, 0) << c.err;
    EXPECT_EQ(c.json["stored_bytes"].get<std::uint64_t>(), std::filesystem::file_size(dir_ / "x.tnpk"));
    const Outcome v = tenpak({"artifact", "verify", at("x.tnpk"), "--public-key", at("keys/tenpak.pub"), "--json"});
    ASSERT_EQ(v.code, 0) << v.err << v.out;
    EXPECT_TRUE(v.json["verified"].get<bool>());
    expect_refused({"delta", "compress", at("base"), at("ft"), "-o", at("y.tnpk"), "--sign-key", at("keys/tenpak.pub")}, 1, "malformed");
    EXPECT_FALSE(std::filesystem::exists(dir_ / "y.tnpk"));
}

TEST_F(DeltaCli, NanAndInfinityAreWeightsLikeOthers) {
    test::write_model_pair(dir_.path(), {});
    for (const char* m : {"base/model.safetensors", "ft/model.safetensors"}) {
        auto bytes = read_tree(dir_.path()).at(m);
        for (std::size_t i = 1; i <= 600; i += 6) {  // quiet and signalling NaN with payloads, infinities, -0
            const char* pattern = m[0] == 'b' ? "\xc1\x7f\x00\x80\x80\xff" : "\xab\xff\x80\x7f\x01\x7f";
            bytes.replace(bytes.size() - 6 * 120 + i - 1, 6, pattern, 6);
        }
        dir_.write(m, bytes);
    }
    ASSERT_EQ(tenpak({"delta", "compress", at("base"), at("ft"), "-o", at("x.tnpk")}).code, 0);
    ASSERT_EQ(tenpak({"delta", "reconstruct", at("base"), at("x.tnpk"), "-o", at("out"), "--verify", "full"}).code, 0);
    EXPECT_EQ(read_tree(dir_ / "out"), read_tree(dir_ / "ft"));
}

TEST_F(DeltaCli, BadInputIsRefusedInOneLine) {
    test::write_model_pair(dir_.path(), {.shards = 2});
    const auto before = entries();
    const std::vector<std::string> out{"-o", at("x.tnpk")};
    const auto compress = [&](const std::string& base, const std::string& ft) { return std::vector<std::string>{"delta", "compress", base, ft, "-o", at("x.tnpk")}; };
    // Missing file.
    expect_refused(compress(at("nowhere"), at("ft")), 1, "not-found");
    expect_refused({"delta", "estimate", at("base"), at("nowhere")}, 1, "not-found");
    expect_refused({"delta", "reconstruct", at("base"), at("nowhere.tnpk"), "-o", at("out")}, 1, "not-found");
    // Not a model, not an artifact.
    expect_refused(compress(at("base"), at("base/config.json")), 1, "unsupported");
    EXPECT_EQ(tenpak({"delta", "reconstruct", at("base"), at("base/config.json"), "-o", at("out")}).code, 1);
    // Bad usage.
    expect_refused({"delta", "compress", at("base"), at("ft")}, 2, "invalid-argument");
    expect_refused({"delta", "compress", at("base"), at("ft"), "-o", at("x.tnpk"), "--mode", "magic"}, 2, "invalid-argument");
    expect_refused({"delta", "compress", at("base"), at("ft"), "-o", at("x.tnpk"), "--mode", "lowrank"}, 2, "invalid-argument");
    expect_refused({"delta", "compress", at("base"), at("ft"), "-o", at("x.tnpk"), "--mode", "int8", "--rank", "8"}, 2, "invalid-argument");
    expect_refused({"delta", "compress", at("base"), at("ft"), "-o", at("x.tnpk"), "--mode", "int8", "--text", at("nowhere.txt")}, 1, "not-found");
    EXPECT_EQ(entries(), before);
    // Truncated shard.
    const std::string shard = at("ft/model-00002-of-00002.safetensors"), whole = read_tree(dir_ / "ft").at("model-00002-of-00002.safetensors");
    dir_.write("ft/model-00002-of-00002.safetensors", whole.substr(0, whole.size() - 100));
    expect_refused(compress(at("base"), at("ft")), 1, "malformed");
    expect_refused({"delta", "estimate", at("base"), at("ft")}, 1, "malformed");
    // Missing shard.
    std::filesystem::remove(shard);
    expect_refused(compress(at("base"), at("ft")), 1, "malformed");
    // Malformed header.
    std::string bad = whole;
    bad[20] = '\x01';
    dir_.write("ft/model-00002-of-00002.safetensors", bad);
    expect_refused(compress(at("base"), at("ft")), 1, "malformed");
    dir_.write("ft/model-00002-of-00002.safetensors", whole);
    // Other architecture.
    test::write_model_pair(dir_ / "other", {.hidden = 48});
    expect_refused(compress(at("other/base"), at("ft")), 1, "mismatch");
    expect_refused({"delta", "estimate", at("other/base"), at("ft")}, 1, "mismatch");
    EXPECT_FALSE(std::filesystem::exists(dir_ / "x.tnpk"));
    // Wrong base, damaged artifact.
    ASSERT_EQ(tenpak(compress(at("base"), at("ft"))).code, 0);
    test::write_model_pair(dir_ / "seeded", {.seed = 5, .shards = 2});
    expect_refused({"delta", "reconstruct", at("seeded/base"), at("x.tnpk"), "-o", at("out")}, 3, "wrong-base");
    std::string artifact = read_tree(dir_.path()).at("x.tnpk");
    for (const std::size_t place : {std::size_t{40}, artifact.size() / 3, artifact.size() / 2, artifact.size() - 5}) {
        std::string flipped = artifact;
        flipped[place] = static_cast<char>(flipped[place] ^ 0x10);
        dir_.write("flipped.tnpk", flipped);
        expect_refused({"delta", "reconstruct", at("base"), at("flipped.tnpk"), "-o", at("out")}, 3, "integrity");
    }
    dir_.write("flipped.tnpk", artifact.substr(0, artifact.size() / 2));
    expect_refused({"delta", "reconstruct", at("base"), at("flipped.tnpk"), "-o", at("out")}, 3, "integrity");
    // An output that exists.
    expect_refused({"delta", "reconstruct", at("base"), at("x.tnpk"), "-o", at("ft")}, 2, "invalid-argument");
    EXPECT_FALSE(std::filesystem::exists(dir_ / "out"));
}

TEST_F(DeltaCli, UnwritableOutput) {
    test::write_model_pair(dir_.path(), {.layers = 1});
    expect_refused({"delta", "compress", at("base"), at("ft"), "-o", at("no/such/folder/x.tnpk")}, 1, "not-found");
    ASSERT_EQ(tenpak({"delta", "compress", at("base"), at("ft"), "-o", at("x.tnpk")}).code, 0);
    expect_refused({"delta", "reconstruct", at("base"), at("x.tnpk"), "-o", at("no/such/folder/out")}, 1, "not-found");
    if (geteuid() == 0) {
        // Root may write anywhere: /proc refuses even root.
        const Outcome o = tenpak({"delta", "compress", at("base"), at("ft"), "-o", "/proc/x.tnpk"});
        EXPECT_EQ(o.code, 1);
        EXPECT_NE(o.err.find("tenpak: error["), std::string::npos) << o.err;
        return;
    }
    std::filesystem::create_directories(dir_ / "locked");
    chmod(at("locked").c_str(), 0555);
    expect_refused({"delta", "compress", at("base"), at("ft"), "-o", at("locked/x.tnpk")}, 1, "permission");
    expect_refused({"delta", "reconstruct", at("base"), at("x.tnpk"), "-o", at("locked/out")}, 1, "permission");
}

TEST_F(DeltaCli, FullDisk) {
    test::write_model_pair(dir_.path(), {.layers = 6, .hidden = 128});
    ASSERT_EQ(tenpak({"delta", "compress", at("base"), at("ft"), "-o", at("x.tnpk")}).code, 0);
    std::filesystem::create_directories(dir_ / "small");
    if (mount("none", at("small").c_str(), "tmpfs", 0, "size=256k") != 0) GTEST_SKIP() << "cannot mount a small disk (not root): a full disk is NOT tested here";
    expect_refused({"delta", "compress", at("base"), at("ft"), "-o", at("small/x.tnpk")}, 1, "no-space");
    expect_refused({"delta", "compress", at("base"), at("ft"), "-o", at("small/y.tnpk"), "--form", "dir"}, 1, "no-space");
    expect_refused({"delta", "reconstruct", at("base"), at("x.tnpk"), "-o", at("small/out")}, 1, "no-space");
    EXPECT_TRUE(std::filesystem::is_empty(dir_ / "small")) << "something was left on the full disk";
    umount(at("small").c_str());
}

}  // namespace
}  // namespace tenpak

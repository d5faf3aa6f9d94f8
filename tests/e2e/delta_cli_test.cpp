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

TEST_F(DeltaCli, AdaptersAreRecoveredReplayedStoredAndMerged) {
    const std::string base = sample_dir() / "base", lora = sample_dir() / "lora";
    const Outcome found = tenpak({"delta", "compress", base, lora, "-o", at("found.tnpk"), "--export-adapter", at("adapter"), "--json", "--quiet"});
    ASSERT_EQ(found.code, 0) << found.err;
    EXPECT_LT(found.json["stored_bytes"].get<double>(), 0.05 * found.json["raw_bytes"].get<double>()) << "a merged adapter is small";
    EXPECT_TRUE(found.json["lossless"].get<bool>());
    EXPECT_TRUE(std::filesystem::exists(at("adapter") + "/adapter_config.json"));
    // Replaying what was recovered costs no more than recovering it.
    const Outcome replayed = tenpak({"delta", "compress", base, lora, "-o", at("replayed.tnpk"), "--adapter", at("adapter"), "--json", "--quiet"});
    ASSERT_EQ(replayed.code, 0) << replayed.err;
    EXPECT_LT(replayed.json["stored_bytes"].get<double>(), 1.1 * found.json["stored_bytes"].get<double>());
    ASSERT_EQ(tenpak({"delta", "reconstruct", base, at("replayed.tnpk"), "-o", at("again"), "--verify", "full", "--quiet"}).code, 0);
    EXPECT_EQ(read_tree(dir_ / "again"), read_tree(lora));
    // Unmerged: as it is, without the base; merged into its base and into no other.
    const Outcome kept = tenpak({"delta", "compress", base, at("adapter"), "-o", at("kept.tnpk"), "--json", "--quiet"});
    ASSERT_EQ(kept.code, 0) << kept.err;
    EXPECT_EQ(kept.json["kind"], "adapter");
    ASSERT_EQ(tenpak({"artifact", "unpack", at("kept.tnpk"), "-o", at("unpacked"), "--quiet"}).code, 0);
    EXPECT_EQ(read_tree(dir_ / "unpacked"), read_tree(dir_ / "adapter"));
    const Outcome merged = tenpak({"delta", "reconstruct", base, at("kept.tnpk"), "-o", at("merged"), "--merge", "--json", "--quiet"});
    ASSERT_EQ(merged.code, 0) << merged.err;
    EXPECT_EQ(merged.json["merged_modules"], kept.json["modules"]);
    const auto files = read_tree(dir_ / "merged");
    EXPECT_EQ(files.size(), read_tree(base).size());
    const std::string &here = files.at("model.safetensors"), there = read_tree(lora).at("model.safetensors");
    // Headers may differ in length; the weights are the last bytes of both.
    std::size_t differ = 0, n = std::min(here.size(), there.size()) - 8192;
    for (std::size_t i = 1; i <= n; ++i) differ += here[here.size() - i] != there[there.size() - i] ? 1 : 0;
    EXPECT_LT(differ, n / 50) << "the merge is the fine-tune but for what the residual held";
    expect_refused({"delta", "reconstruct", lora, at("kept.tnpk"), "-o", at("wrong"), "--merge", "--quiet"}, 3, "wrong-base");
    expect_refused({"delta", "reconstruct", base, at("found.tnpk"), "-o", at("wrong"), "--merge", "--quiet"}, 2, "invalid-argument");
    EXPECT_FALSE(std::filesystem::exists(at("wrong")));
    for (const std::string& e : entries()) EXPECT_EQ(e.find(".tmp-"), e.npos) << e;
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

TEST_F(DeltaCli, FindsTheBase) {
    test::write_model_pair(dir_ / "models", {});
    test::write_model_pair(dir_ / "models/deep", {.seed = 5});                 // strangers of the same build
    test::write_model_pair(dir_ / "other", {.hidden = 96});                    // another shape
    dir_.write("models/adapter/adapter_config.json", "{}");
    dir_.write("models/adapter/adapter_model.safetensors", "not a model");
    dir_.write("models/broken/model.safetensors", "broken");
    const Outcome o = tenpak({"delta", "find-base", at("models/ft"), at("models"), at("other"), "--json"});
    ASSERT_EQ(o.code, 0) << o.err;
    expect_keys(o.json, {"fine_tune", "candidates", "skipped", "best"});
    EXPECT_EQ(o.json["best"].get<std::string>(), at("models/base"));
    ASSERT_EQ(o.json["candidates"].size(), 3u);  // base, and both strangers
    const Json& first = o.json["candidates"][0];
    expect_keys(first, {"path", "estimated_bits_per_weight", "saved_fraction", "matched_tensors", "tensors", "reason"});
    EXPECT_EQ(first["path"].get<std::string>(), at("models/base"));
    EXPECT_EQ(first["matched_tensors"], first["tensors"]);
    EXPECT_LT(first["estimated_bits_per_weight"].get<double>(), o.json["candidates"][1]["estimated_bits_per_weight"].get<double>());
    std::map<std::string, std::string> skipped;
    for (const Json& s : o.json["skipped"]) skipped[s["path"].get<std::string>()] = s["reason"].get<std::string>();
    EXPECT_EQ(skipped.size(), 5u);
    EXPECT_EQ(skipped[at("models/ft")], "the fine-tune itself");
    EXPECT_EQ(skipped[at("models/adapter")], "an adapter, not a model");
    EXPECT_NE(skipped[at("models/broken")], "");
    EXPECT_NE(skipped[at("other/base")].find("does not fit"), std::string::npos) << skipped[at("other/base")];
    // Plain text, one file as the fine-tune, and a folder with nothing.
    const Outcome text = tenpak({"delta", "find-base", at("models/ft/model.safetensors"), at("models/base"), at("models/ft")});
    EXPECT_EQ(text.code, 0);
    EXPECT_NE(text.out.find("best base: " + at("models/base")), std::string::npos) << text.out;
    std::filesystem::create_directories(dir_ / "empty");
    const Outcome none = tenpak({"delta", "find-base", at("models/ft"), at("empty"), "--json"});
    EXPECT_EQ(none.code, 0);
    EXPECT_TRUE(none.json["best"].is_null());
    expect_refused({"delta", "find-base", at("models/ft"), at("nowhere")}, 1, "not-found");
    expect_refused({"delta", "find-base", at("nowhere"), at("models")}, 1, "not-found");
}

TEST_F(DeltaCli, TellsWhichTensorPredicts) {
    test::write_model_pair(dir_.path(), {});
    // The fine-tune lost "model." at the front of its names (as long, so that the header's length stays).
    auto file = read_tree(dir_ / "ft").at("model.safetensors");
    for (std::size_t i = file.find("\"model."); i != file.npos && i < 20000; i = file.find("\"model.", i + 1)) file.replace(i, 7, "\"other.");
    dir_.write("ft/model.safetensors", file);
    for (const char* verb : {"estimate", "compress"}) {
        std::vector<std::string> args{"delta", verb, at("base"), at("ft"), "--json"};
        if (verb[0] == 'c') args.insert(args.end(), {"-o", at("x.tnpk")});
        const Outcome o = tenpak(args);
        ASSERT_EQ(o.code, 0) << o.err;
        for (const Json& t : o.json["tensors"]) {
            EXPECT_EQ(t["base_tensor"].get<std::string>(), "model." + t["name"].get<std::string>().substr(6));
            EXPECT_EQ(t["how"], "prefix");
        }
    }
    ASSERT_EQ(tenpak({"delta", "reconstruct", at("base"), at("x.tnpk"), "-o", at("out"), "--verify", "full"}).code, 0);
    EXPECT_EQ(read_tree(dir_ / "out"), read_tree(dir_ / "ft"));
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

// SPDX-License-Identifier: Apache-2.0
// The whole journey on the bundled sample through the built `tenpak`, as packaging/run.sh --headless does it.
#include <gtest/gtest.h>

#include "core/base/file.h"
#include "core/base/hash.h"
#include "core/base/json.h"
#include "tests/support/run_program.h"

using namespace tenpak;
using test::Finished;
using test::TempDir;

namespace {

Json json_of(const Finished& f) {
    EXPECT_EQ(f.code, 0) << f.err;
    auto j = parse_json(f.out, "stdout");
    EXPECT_TRUE(j.ok()) << f.out.substr(0, 400);
    return j.ok() ? *j : Json::object();
}
testing::AssertionResult has_keys(const Json& j, std::initializer_list<const char*> keys) {
    for (const char* k : keys) {
        if (!j.contains(k)) return testing::AssertionFailure() << "no key " << k << " in " << j.dump().substr(0, 300);
    }
    return testing::AssertionSuccess();
}
std::string sample(const char* name) { return (test::sample_dir() / name).string(); }

void same_files(const fs::path& a, const fs::path& b) {
    int files = 0;
    for (const auto& e : fs::recursive_directory_iterator(a)) {
        if (!e.is_regular_file()) continue;
        ++files;
        const auto other = b / fs::relative(e.path(), a);
        ASSERT_TRUE(fs::exists(other)) << other;
        EXPECT_EQ(to_hex(sha256(*read_file(e.path()))), to_hex(sha256(*read_file(other)))) << other;
    }
    EXPECT_GE(files, 5);
    EXPECT_EQ(std::distance(fs::recursive_directory_iterator(b), fs::recursive_directory_iterator{}), files);
}

// design section 4: full fine-tune in at most 50 % of raw, merged LoRA in at most 40 %, the estimate holds the truth.
void estimate_compress_rebuild(const char* fine_tune, double at_most) {
    TempDir d;
    const std::vector<std::string> env = {"XDG_CACHE_HOME=" + (d / "cache").string()};
    const Json e = json_of(test::tenpak({"delta", "estimate", sample("base"), sample(fine_tune), "--json", "--quiet"}, env));
    ASSERT_TRUE(has_keys(e, {"raw_bytes", "estimated_bytes", "low", "high", "saved_fraction", "sampled_fraction", "seconds", "tensors"}));
    ASSERT_TRUE(has_keys(e["tensors"][0], {"name", "method", "changed_fraction", "raw_bytes", "estimated_bytes", "low", "high", "complete"}));
    const std::string out = (d / "x.tnpk").string();
    const Json c = json_of(test::tenpak({"delta", "compress", sample("base"), sample(fine_tune), "-o", out, "--json", "--quiet"}, env));
    ASSERT_TRUE(has_keys(c, {"output", "raw_bytes", "stored_bytes", "saved_fraction", "bits_per_weight", "seconds", "methods", "lossless", "max_abs_error"}));
    const double raw = c["raw_bytes"], stored = c["stored_bytes"];
    EXPECT_EQ(stored, static_cast<double>(fs::file_size(out)));
    EXPECT_TRUE(c["lossless"].get<bool>());
    EXPECT_LE(stored, at_most * raw);
    EXPECT_LE(e["low"].get<double>(), stored);
    EXPECT_GE(e["high"].get<double>(), stored);
    const double middle = (e["low"].get<double>() + e["high"].get<double>()) / 2;
    EXPECT_NEAR(stored / middle, 1.0, 0.03);

    const Json r = json_of(test::tenpak({"delta", "reconstruct", sample("base"), out, "-o", (d / "rebuilt").string(), "--verify", "full", "--json", "--quiet"}, env));
    ASSERT_TRUE(has_keys(r, {"bytes_written", "seconds", "gb_per_s", "verified"}));
    EXPECT_EQ(r["verified"], "full");
    EXPECT_EQ(r["bytes_written"].get<double>(), raw);
    same_files(test::sample_dir() / fine_tune, d / "rebuilt");

    const Finished wrong = test::tenpak({"delta", "reconstruct", sample(fine_tune), out, "-o", (d / "wrong").string()}, env);
    EXPECT_EQ(wrong.code, 3) << wrong.err;
    EXPECT_FALSE(fs::exists(d / "wrong"));
}

TEST(Journey, FullFineTune) { estimate_compress_rebuild("finetune", 0.50); }
TEST(Journey, MergedLora) { estimate_compress_rebuild("lora", 0.40); }

TEST(Journey, InspectAndEvaluate) {
    const Json i = json_of(test::tenpak({"inspect", sample("base"), "--json"}));
    ASSERT_TRUE(has_keys(i, {"architecture", "parameters", "bytes", "dtype", "tensors"}));
    EXPECT_EQ(i["parameters"].get<std::uint64_t>(), 3541248u);
    const Json e = json_of(test::tenpak({"eval", sample("base"), "--text", sample("text/base.txt"), "--context", "256", "--json", "--quiet"}));
    ASSERT_TRUE(has_keys(e, {"perplexity", "standard_error", "tokens", "nll", "convention", "kl_divergence", "top1_agreement", "accuracy", "backend"}));
    EXPECT_NEAR(e["perplexity"].get<double>(), 36.39, 36.39 * 0.001);  // transformers in fp32, resources/sample/README.md
}

TEST(Journey, WinnerToSignedArtifact) {
    TempDir d;
    const Json k = json_of(test::tenpak({"artifact", "keygen", "-o", (d / "key").string(), "--json"}));
    ASSERT_TRUE(has_keys(k, {"private_key", "public_key", "fingerprint"}));
    const Json q = json_of(test::tenpak({"quantize", sample("base"), "--candidate", "awq_g128", "-o", (d / "awq").string(), "--json", "--quiet"}));
    ASSERT_TRUE(has_keys(q, {"candidate", "bits_per_weight", "compression", "seconds"}));
    const std::string x = (d / "awq.tnpk").string();
    const Json p = json_of(test::tenpak({"artifact", "pack", (d / "awq").string(), "-o", x, "--json", "--quiet"}));
    ASSERT_TRUE(has_keys(p, {"output", "files", "raw_bytes", "stored_bytes", "chunks"}));
    EXPECT_EQ(test::tenpak({"artifact", "sign", x, "--key", k["private_key"].get<std::string>()}).code, 0);
    const Json v = json_of(test::tenpak({"artifact", "verify", x, "--public-key", k["public_key"].get<std::string>(), "--json", "--quiet"}));
    ASSERT_TRUE(has_keys(v, {"intact", "signature", "scheme", "signer", "trusted", "lossless_checked", "verified", "files", "chunks"}));
    EXPECT_TRUE(v["verified"].get<bool>());
    EXPECT_TRUE(v["trusted"].get<bool>());
    EXPECT_EQ(v["signature"], "valid");
    const std::string out = (d / "out").string();
    EXPECT_EQ(test::tenpak({"artifact", "unpack", x, "-o", out}).code, 0);
    const Json u = json_of(test::tenpak({"artifact", "verify", out, "--public-key", k["public_key"].get<std::string>(), "--json", "--quiet"}));
    EXPECT_TRUE(u["verified"].get<bool>());

    Bytes bytes = *read_file(x);
    bytes[bytes.size() / 2] ^= std::byte{1};
    ASSERT_TRUE(write_file_atomic(x, bytes).ok());
    EXPECT_EQ(test::tenpak({"artifact", "verify", x, "--public-key", k["public_key"].get<std::string>()}).code, 3);
    EXPECT_EQ(test::tenpak({"artifact", "unpack", x, "-o", (d / "broken").string()}).code, 3);
    EXPECT_FALSE(fs::exists(d / "broken"));
}

}  // namespace

// SPDX-License-Identifier: Apache-2.0
// A delta that is damaged anywhere, or given another base, is refused with exit code 3, and nothing is left behind.
// $TENPAK_DAMAGE_PLACES: how many random places (the nightly test takes 1,000).
#include <gtest/gtest.h>

#include <cstdlib>
#include <random>
#include <set>

#include "tests/bench/synth.h"
#include "tests/core/delta/model_pair.h"
#include "tests/support/run_program.h"
#include "tests/support/temp_dir.h"

namespace tenpak {
namespace {

using test::read_tree;
using test::TempDir;

unsigned places() {
    const char* n = std::getenv("TENPAK_DAMAGE_PLACES");
    return n != nullptr ? static_cast<unsigned>(std::atoi(n)) : 60;
}

class DeltaDamage : public testing::Test {
 protected:
    void SetUp() override { setenv("XDG_CACHE_HOME", cache_.path().c_str(), 1); }
    std::string at(const std::string& name) const { return (dir_ / name).string(); }
    std::set<std::string> entries() const {
        std::set<std::string> s;
        for (const auto& e : std::filesystem::directory_iterator(dir_.path())) s.insert(e.path().filename().string());
        return s;
    }
    void compress(const std::string& base, const std::string& ft, const std::string& out,
                  const std::string& form = "file") {
        const auto r = test::tenpak({"delta", "compress", base, ft, "-o", out, "--form", form, "--quiet"});
        ASSERT_EQ(r.code, 0) << r.err;
    }
    /// Exit code 3, one error line, and the folder as it was.
    void expect_refused(const std::string& base, const std::string& artifact, const std::string& what) {
        const auto before = entries();
        const auto r = test::tenpak({"delta", "reconstruct", base, artifact, "-o", at("out"), "--quiet"});
        EXPECT_EQ(r.code, 3) << what << ": " << r.err;
        EXPECT_EQ(r.err.rfind("tenpak: error[", 0), 0u) << what << ": " << r.err;
        EXPECT_EQ(entries(), before) << what << ": something was left behind";
        if (std::filesystem::exists(dir_ / "out")) std::filesystem::remove_all(dir_ / "out");
    }
    /// Flips of a bit, other bytes, and truncations, each at a random place of a file's bytes.
    void damage_file(const std::string& base, const std::string& file, const std::string& artifact, unsigned n) {
        const std::string whole =
            read_tree(std::filesystem::path(file).parent_path()).at(std::filesystem::path(file).filename().string());
        std::mt19937_64 g(17);
        for (unsigned i = 0; i < n && !HasFailure(); ++i) {
            const std::size_t place =
                i < 64 && i % 3 != 2 ? i * whole.size() / 65536 : g() % whole.size();  // the header's bytes, too
            std::string bad = whole;
            std::string what = "place " + std::to_string(place) + " of " + std::to_string(whole.size());
            switch (i % 3) {
                case 0:
                    bad[place] = static_cast<char>(bad[place] ^ 1 << g() % 8);
                    what += ", a bit flipped";
                    break;
                case 1: {
                    const auto other = static_cast<char>(g());
                    bad[place] = other == bad[place] ? static_cast<char>(~other) : other;
                    what += ", another byte";
                    break;
                }
                default:
                    bad.resize(place);
                    what += ", truncated";
            }
            std::ofstream(file, std::ios::binary) << bad;
            expect_refused(base, artifact, what);
        }
        std::ofstream(file, std::ios::binary) << whole;
        const auto r = test::tenpak({"delta", "reconstruct", base, artifact, "-o", at("out"), "--quiet"});
        EXPECT_EQ(r.code, 0) << "the undamaged one: " << r.err;
        std::filesystem::remove_all(dir_ / "out");
    }
    TempDir dir_, cache_;  // hashes of the base are remembered in the cache, whatever comes of it
};

TEST_F(DeltaDamage, FullFineTuneAnywhere) {
    test::write_model_pair(dir_.path(), {.layers = 2, .freeze_embeddings = true});
    compress(at("base"), at("ft"), at("x.tnpk"));
    damage_file(at("base"), at("x.tnpk"), at("x.tnpk"), places());
}

TEST_F(DeltaDamage, MergedLoraAnywhere) {
    bench::Synth s;
    s.merge = bench::Merge::kFp32;
    s.rank = 8;
    s.alpha = .01;
    s.shapes = {{"model.layers.0.self_attn.q_proj.weight", 512, 512},
                {"model.layers.0.self_attn.v_proj.weight", 256, 512}};
    ASSERT_TRUE(bench::write_pair(dir_.path(), s).ok());
    compress(at("base"), at("ft"), at("x.tnpk"));
    damage_file(at("base"), at("x.tnpk"), at("x.tnpk"), places());
}

TEST_F(DeltaDamage, FolderFormAnywhere) {
    test::write_model_pair(dir_.path(), {.layers = 2});
    compress(at("base"), at("ft"), at("x.tnpk"), "dir");
    unsigned files = 0;
    for (const auto& [name, bytes] : read_tree(dir_ / "x.tnpk")) {
        if (bytes.empty()) continue;
        damage_file(at("base"), at("x.tnpk/" + name), at("x.tnpk"), std::max(20u, places() / 10));
        ++files;
    }
    EXPECT_GE(files, 2u);
}

TEST_F(DeltaDamage, WrongBase) {
    test::write_model_pair(dir_.path(), {.layers = 2});
    compress(at("base"), at("ft"), at("x.tnpk"));
    // The fine-tune itself, another model of the same shapes, and the base with one bit flipped anywhere in its
    // weights.
    expect_refused(at("ft"), at("x.tnpk"), "the fine-tune as the base");
    test::write_model_pair(dir_ / "other", {.layers = 2, .seed = 9});
    expect_refused(at("other/base"), at("x.tnpk"), "another model");
    test::write_model_pair(dir_ / "less", {.layers = 1});
    expect_refused(at("less/base"), at("x.tnpk"), "a smaller model");
    const std::string whole = read_tree(dir_ / "base").at("model.safetensors");
    std::uint64_t header = 0;
    std::memcpy(&header, whole.data(), 8);
    std::mt19937_64 g(5);
    std::filesystem::copy(dir_ / "base", dir_ / "near");
    for (unsigned i = 0; i < std::max(10u, places() / 10) && !HasFailure(); ++i) {
        std::string bad = whole;
        const std::size_t place = 8 + header + g() % (whole.size() - 8 - header);
        bad[place] = static_cast<char>(bad[place] ^ 1 << g() % 8);
        std::ofstream(at("near/model.safetensors"), std::ios::binary) << bad;
        expect_refused(at("near"), at("x.tnpk"), "the base with a bit flipped at " + std::to_string(place));
    }
}

}  // namespace
}  // namespace tenpak

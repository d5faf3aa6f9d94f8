// SPDX-License-Identifier: Apache-2.0
#include "core/artifact/manifest.h"

#include "core/artifact/layout.h"
#include "core/base/json.h"
#include "tests/support/artifact_builder.h"
#include "tests/support/temp_dir.h"

namespace tenpak::artifact {
namespace {

std::string good_manifest() {
    test::TempDir dir;
    return std::string(test::write_small(dir / "a.tnpk", ArtifactForm::kFile)->manifest_bytes());
}

TEST(Manifest, HasTheDesignsKeysAndRoundTrips) {
    const std::string text = good_manifest();
    const auto m = parse_manifest(text, "m");
    ASSERT_TRUE(m.ok()) << m.error().text();
    EXPECT_EQ(*encode_manifest(*m), text);
    const Json j = Json::parse(text);
    for (const char* key : {"version", "model_id", "codec", "lossless", "base", "files", "chunks", "created", "attestation", "signature"}) {
        EXPECT_TRUE(j.contains(key)) << key;
    }
    for (const char* key : {"id", "revision", "tensors"}) EXPECT_TRUE(j["base"].contains(key)) << key;
    for (const char* key : {"path", "size", "sha256"}) EXPECT_TRUE(j["files"][0].contains(key)) << key;
    for (const char* key : {"name", "offset", "size", "sha256", "raw_size", "raw_sha256", "codec"}) EXPECT_TRUE(j["chunks"][0].contains(key)) << key;
    EXPECT_EQ(j["signature"], Json({{"scheme", "none"}, {"file", ""}}));
    EXPECT_EQ(m->blocks[4].base.at(0).tensor, "model.layers.0.w");  // the usual range is written as {}
    EXPECT_EQ(j["chunks"][4]["base"], Json::object());
    EXPECT_EQ(m->blocks[5].base, (std::vector<BaseRange>{{"old.norm", 16, 64}}));
}

TEST(Manifest, EveryChangeThatBreaksARuleIsRefused) {
    const Json good = Json::parse(good_manifest());
    const auto refused = [&](const char* label, const std::function<void(Json&)>& change) {
        Json j = good;
        change(j);
        const auto r = parse_manifest(canonical_json(j), "m");
        EXPECT_TRUE(!r.ok() && r.error().code == ErrorCode::kMalformed) << label << ": " << (r.ok() ? "taken" : r.error().text());
    };
    ASSERT_TRUE(parse_manifest(canonical_json(good), "m").ok());
    for (const auto& [key, value] : good.items()) {
        refused(key.c_str(), [&, k = key](Json& j) { j.erase(k); });
        refused(key.c_str(), [&, k = key](Json& j) { j[k] = 1.5; });
    }
    for (const char* key : {"path", "size", "sha256", "chunks"}) refused(key, [&](Json& j) { j["files"][0].erase(key); });
    for (const char* key : {"name", "offset", "size", "sha256", "raw_size", "raw_sha256", "codec", "raw_xxh3"}) {
        refused(key, [&](Json& j) { j["chunks"][0].erase(key); });
        refused(key, [&](Json& j) { j["chunks"][0][key] = nullptr; });
    }
    refused("unknown key on top", [](Json& j) { j["extra"] = 1; });
    refused("unknown key in a file", [](Json& j) { j["files"][0]["extra"] = 1; });
    refused("unknown key in a chunk", [](Json& j) { j["chunks"][0]["extra"] = 1; });
    refused("unknown key in base", [](Json& j) { j["base"]["extra"] = 1; });
    refused("unknown key in signature", [](Json& j) { j["signature"]["value"] = "x"; });
    refused("unknown key in a range", [](Json& j) { j["chunks"][4]["base"]["extra"] = 1; });
    refused("executable false", [](Json& j) { j["files"][0]["executable"] = false; });
    refused("range spells the usual", [](Json& j) { j["chunks"][4]["base"]["offset"] = 0; });
    refused("hash in upper case", [](Json& j) { j["chunks"][0]["sha256"] = std::string(64, 'A'); });
    refused("hash too short", [](Json& j) { j["chunks"][0]["sha256"] = std::string(63, 'a'); });
    refused("xxh3 too long", [](Json& j) { j["chunks"][0]["raw_xxh3"] = std::string(17, '0'); });
    refused("raw chunk of another hash", [](Json& j) { j["chunks"][0]["raw_sha256"] = std::string(64, 'a'); });
    refused("raw chunk of another size", [](Json& j) { j["chunks"][0]["raw_size"] = 1; });
    refused("offset with a hole", [](Json& j) { j["chunks"][1]["offset"] = 100; });
    refused("offset that overlaps", [](Json& j) { j["chunks"][1]["offset"] = 0; });
    refused("huge chunk", [](Json& j) { j["chunks"][4]["size"] = (1ull << 28) + 1; });
    refused("size near 2^64", [](Json& j) { j["chunks"][4]["size"] = ~0ull; });
    refused("decodes to too much", [](Json& j) { j["chunks"][4]["raw_size"] = (1ull << 28) + 1; });
    refused("codec with a slash", [](Json& j) { j["chunks"][4]["codec"] = "../x"; });
    refused("empty codec", [](Json& j) { j["chunks"][4]["codec"] = ""; });
    refused("packs do not fit", [](Json& j) { j["packs"][0] = 1; });
    refused("one pack too many", [](Json& j) { j["packs"].push_back(1); });
    refused("empty pack", [](Json& j) { j["packs"].push_back(0); });
    refused("negative pack", [](Json& j) { j["packs"][0] = -1; });
    refused("file size wrong", [](Json& j) { j["files"][0]["size"] = 1; });
    refused("file needs an unknown chunk", [](Json& j) { j["files"][0]["chunks"] = {99}; });
    refused("file needs chunk -1", [](Json& j) { j["files"][0]["chunks"] = {-1}; });
    refused("chunk without a file", [](Json& j) { j["files"].erase(0); });
    refused("file twice", [](Json& j) { j["files"].push_back(j["files"][0]); });
    refused("file is a folder, too", [](Json& j) { j["files"][0]["path"] = "sub"; });
    refused("base tensor not recorded", [](Json& j) { j["base"]["tensors"].erase("old.norm"); });
    refused("range beyond 2^48", [](Json& j) { j["chunks"][5]["base"]["offset"] = 1ull << 48; });
    refused("range offset near 2^64", [](Json& j) { j["chunks"][5]["base"]["offset"] = ~0ull; });
    refused("no base, but ranges", [](Json& j) { j["base"] = nullptr; });
    refused("created is no time", [](Json& j) { j["created"] = "yesterday"; });
    refused("created with a zone", [](Json& j) { j["created"] = "2026-01-01T00:00:00+01:00"; });
    refused("signature names another file", [](Json& j) { j["signature"] = {{"scheme", "ecdsa-p256"}, {"file", "../x"}}; });
    refused("attestation with a number", [](Json& j) { j["attestation"]["n"] = 1; });
    for (const char* path : {"", "/etc/passwd", "../x", "a/../b", "a//b", "./a", "a/", "C:\\x", "a\\b", "nul", "COM1.txt", "a\nb"}) {
        refused(path, [&](Json& j) { j["files"][0]["path"] = path; });
    }
}

TEST(Manifest, OnlyTheCanonicalSpellingIsTaken) {
    const std::string text = good_manifest();
    EXPECT_FALSE(parse_manifest(text + " ", "m").ok());
    EXPECT_FALSE(parse_manifest(" " + text, "m").ok());
    EXPECT_FALSE(parse_manifest(text + std::string(1, '\0'), "m").ok());
    EXPECT_FALSE(parse_manifest(Json::parse(text).dump(1), "m").ok());
    std::string number = text;
    number.replace(number.find("\"version\":2"), 11, "\"version\":2.0");
    EXPECT_FALSE(parse_manifest(number, "m").ok());
    std::string twice = text;
    twice.replace(twice.find("\"version\":2"), 11, "\"version\":2,\"version\":2");
    EXPECT_FALSE(parse_manifest(twice, "m").ok());
    std::string escaped = text;
    escaped.replace(escaped.find("small"), 5, "\\u0073mall");
    EXPECT_FALSE(parse_manifest(escaped, "m").ok());
    for (const char* bad : {"", "null", "[]", "{}", "{", "1"}) EXPECT_FALSE(parse_manifest(bad, "m").ok()) << bad;
}

TEST(Manifest, NewerVersionIsUnsupported) {
    Json j = Json::parse(good_manifest());
    j["version"] = 3;
    EXPECT_EQ(parse_manifest(canonical_json(j), "m").error().code, ErrorCode::kUnsupported);
}

TEST(Manifest, TruncatedAnywhereIsRefused) {
    const std::string text = good_manifest();
    for (std::size_t n = 0; n < text.size(); ++n) EXPECT_FALSE(parse_manifest(text.substr(0, n), "m").ok()) << n;
}

}  // namespace
}  // namespace tenpak::artifact

// SPDX-License-Identifier: Apache-2.0
#include "core/signing/bundle.h"

#include "core/base/json.h"
#include "core/signing/statement.h"

namespace tenpak::signing {
namespace {

TEST(Dsse, PreAuthenticationEncodingOfTheSpecification) {
    // DSSE protocol.md, test vector.
    EXPECT_EQ(as_text(pre_authentication_encoding("http://example.com/HelloWorld", as_bytes("hello world"))),
              "DSSEv1 29 http://example.com/HelloWorld 11 hello world");
    EXPECT_EQ(as_text(pre_authentication_encoding("", {})), "DSSEv1 0  0 ");
}

TEST(Bundle, RoundTripWithAndWithoutTheKey) {
    const auto key = *PrivateKey::generate();
    for (const bool with_key : {false, true}) {
        const auto json = sign_bundle(key, kManifestType, as_bytes("payload"), with_key);
        ASSERT_TRUE(json.ok());
        const auto b = parse_bundle(*json, "x");
        ASSERT_TRUE(b.ok()) << b.error().text();
        EXPECT_EQ(b->hint, key.public_key().fingerprint());
        EXPECT_EQ(b->key_der.has_value(), with_key);
        EXPECT_EQ(as_text(b->payload), "payload");
        EXPECT_EQ(b->payload_type, kManifestType);
        EXPECT_TRUE(verify_bundle(*b, key.public_key()));
        Bundle other = *b;
        other.payload_type = "application/json";  // the type is signed, too
        EXPECT_FALSE(verify_bundle(other, key.public_key()));
    }
}

TEST(Bundle, Refusals) {
    const auto key = *PrivateKey::generate();
    const Json good = Json::parse(as_text(*sign_bundle(key, kManifestType, as_bytes("payload"), true)));
    ASSERT_TRUE(parse_bundle(as_bytes(good.dump()), "x").ok());
    const auto refused = [&](const char* label, const std::function<void(Json&)>& change) {
        Json j = good;
        change(j);
        const std::string text = j.dump();
        const auto r = parse_bundle(as_bytes(text), "x");
        EXPECT_TRUE(!r.ok() && (r.error().code == ErrorCode::kMalformed || r.error().code == ErrorCode::kUnsupported)) << label;
    };
    for (const char* k : {"mediaType", "verificationMaterial", "dsseEnvelope"}) refused(k, [&](Json& j) { j.erase(k); });
    for (const char* k : {"payload", "payloadType", "signatures"}) refused(k, [&](Json& j) { j["dsseEnvelope"].erase(k); });
    refused("no signature", [](Json& j) { j["dsseEnvelope"]["signatures"] = Json::array(); });
    refused("two signatures", [](Json& j) { j["dsseEnvelope"]["signatures"].push_back(j["dsseEnvelope"]["signatures"][0]); });
    refused("empty sig", [](Json& j) { j["dsseEnvelope"]["signatures"][0]["sig"] = ""; });
    refused("sig with white space", [](Json& j) { j["dsseEnvelope"]["signatures"][0]["sig"] = "AA AA"; });
    refused("payload no base64", [](Json& j) { j["dsseEnvelope"]["payload"] = "!"; });
    refused("payload a number", [](Json& j) { j["dsseEnvelope"]["payload"] = 1; });
    refused("no key material", [](Json& j) { j["verificationMaterial"].erase("publicKey"); });
    refused("key and certificate", [](Json& j) { j["verificationMaterial"]["certificate"] = {{"rawBytes", "AAAA"}}; });
    refused("certificate", [](Json& j) { j["verificationMaterial"] = {{"certificate", {{"rawBytes", "AAAA"}}}, {"tlogEntries", {1}}}; });
    refused("neither hint nor key", [](Json& j) { j["verificationMaterial"]["publicKey"] = Json::object(); });
    refused("other media type", [](Json& j) { j["mediaType"] = "application/json"; });
    refused("array", [](Json& j) { j = Json::array(); });
    const std::string twice = "{\"mediaType\":\"a\"," + good.dump().substr(1);
    EXPECT_FALSE(parse_bundle(as_bytes(twice), "x").ok());
    EXPECT_FALSE(parse_bundle({}, "x").ok());
}

FileRecord file(const std::string& path) {
    FileRecord f;
    f.path = path;
    f.sha256 = sha256(as_bytes(path));
    return f;
}

TEST(Statement, RoundTripInCodePointOrder) {
    const Bytes b = make_statement("model", {file("b"), file("a/b"), file("a-b"), file("ü"), file("Z")});
    const auto s = parse_statement(b, "x");
    ASSERT_TRUE(s.ok()) << s.error().text();
    std::vector<std::string> names;
    for (const Resource& r : s->resources) names.push_back(r.name);
    EXPECT_EQ(names, (std::vector<std::string>{"Z", "a-b", "a/b", "b", "ü"}));
    EXPECT_EQ(s->model, "model");
    EXPECT_EQ(s->ignored, std::vector<std::string>{"model.sig"});
    EXPECT_EQ(s->resources[3].sha256, sha256(as_bytes("b")));
}

TEST(Statement, Refusals) {
    const Json good = Json::parse(as_text(make_statement("model", {file("a"), file("b")})));
    const auto refused = [&](const char* label, const std::function<void(Json&)>& change) {
        Json j = good;
        change(j);
        const std::string text = j.dump();
        EXPECT_FALSE(parse_statement(as_bytes(text), "x").ok()) << label;
    };
    ASSERT_TRUE(parse_statement(as_bytes(good.dump()), "x").ok());
    for (const char* k : {"_type", "subject", "predicateType", "predicate"}) refused(k, [&](Json& j) { j.erase(k); });
    refused("other type", [](Json& j) { j["_type"] = "https://in-toto.io/Statement/v0.1"; });
    refused("other predicate", [](Json& j) { j["predicateType"] = "https://slsa.dev/provenance/v1"; });
    refused("two subjects", [](Json& j) { j["subject"].push_back(j["subject"][0]); });
    refused("unknown predicate key", [](Json& j) { j["predicate"]["extra"] = 1; });
    refused("root digest", [](Json& j) { j["subject"][0]["digest"]["sha256"] = std::string(64, 'a'); });
    refused("order changed", [](Json& j) { std::swap(j["predicate"]["resources"][0], j["predicate"]["resources"][1]); });
    refused("double name", [](Json& j) { j["predicate"]["resources"][1]["name"] = "a"; });
    refused("escaping name", [](Json& j) { j["predicate"]["resources"][1]["name"] = "../b"; });
    refused("absolute name", [](Json& j) { j["predicate"]["resources"][1]["name"] = "/b"; });
    refused("other algorithm", [](Json& j) { j["predicate"]["resources"][1]["algorithm"] = "md5"; });
    refused("shards", [](Json& j) { j["predicate"]["serialization"]["method"] = "shards"; });
    refused("ignores everything", [](Json& j) { j["predicate"]["serialization"]["ignore_paths"] = {"."}; });
    refused("ignores nothing sayable", [](Json& j) { j["predicate"]["serialization"]["ignore_paths"] = {""}; });
}

}  // namespace
}  // namespace tenpak::signing

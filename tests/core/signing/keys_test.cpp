// SPDX-License-Identifier: Apache-2.0
#include <openssl/bio.h>
#include <openssl/ec.h>
#include <openssl/pem.h>
#include <sys/stat.h>

#include "core/signing/ec_key.h"
#include "core/signing/encoding.h"
#include "core/signing/hmac.h"
#include "core/signing/signing.h"
#include "tests/support/temp_dir.h"

namespace tenpak::signing {
namespace {

using test::TempDir;

TEST(Base64, RoundTripsAndRefusals) {
    for (std::size_t n = 0; n < 20; ++n) {
        Bytes b(n);
        for (std::size_t i = 0; i < n; ++i) b[i] = static_cast<std::byte>(i * 83 + n * 29);
        EXPECT_EQ(from_base64(to_base64(b)), b) << n;
    }
    EXPECT_EQ(to_base64(as_bytes("hello?>")), "aGVsbG8/Pg==");
    EXPECT_EQ(as_text(*from_base64("aGVsbG8_Pg")), "hello?>");
    for (const char* bad : {"a", "ab=", "abc==", "a b=", "ab\n=", "====", "ab==ab==", "aGVsbG8/Pg=", "aGVsbG8/Ph=="}) EXPECT_FALSE(from_base64(bad)) << bad;
}

TEST(Keys, GenerateLoadAndFingerprint) {
    TempDir dir;
    const auto pair = generate_key(dir / "keys", "");
    ASSERT_TRUE(pair.ok()) << pair.error().text();
    struct stat st{};
    ASSERT_EQ(stat(pair->private_key.c_str(), &st), 0);
    EXPECT_EQ(st.st_mode & 0777, 0600u);
    EXPECT_EQ(pair->fingerprint.size(), 64u);
    EXPECT_EQ(*key_fingerprint(pair->public_key, ""), pair->fingerprint);
    EXPECT_EQ(*key_fingerprint(pair->private_key, ""), pair->fingerprint);
    EXPECT_EQ(pair->fingerprint, to_hex(sha256(as_bytes(*read_text_file(pair->public_key)))));
    EXPECT_TRUE(read_text_file(pair->private_key)->starts_with("-----BEGIN PRIVATE KEY-----"));

    const std::string before = *read_text_file(pair->private_key);
    EXPECT_EQ(generate_key(dir / "keys", "").error().code, ErrorCode::kInvalidArgument);
    fs::remove(pair->private_key);  // the public half alone is not overwritten, either
    EXPECT_EQ(generate_key(dir / "keys", "").error().code, ErrorCode::kInvalidArgument);
    EXPECT_FALSE(fs::exists(pair->private_key));
    EXPECT_NE(generate_key(dir / "other", "")->fingerprint, pair->fingerprint);
    dir.write("file", "x");
    EXPECT_FALSE(generate_key(dir / "file", "").ok());
}

TEST(Keys, PassphraseProtectsThePrivateKey) {
    TempDir dir;
    const auto pair = generate_key(dir / "k", "correct horse");
    ASSERT_TRUE(pair.ok());
    EXPECT_TRUE(read_text_file(pair->private_key)->starts_with("-----BEGIN ENCRYPTED PRIVATE KEY-----"));
    const std::string pem = *read_text_file(pair->private_key);
    EXPECT_TRUE(PrivateKey::from_pem(pem, "correct horse", "k").ok());
    EXPECT_EQ(PrivateKey::from_pem(pem, "wrong", "k").error().code, ErrorCode::kPermission);
    EXPECT_EQ(PrivateKey::from_pem(pem, "", "k").error().code, ErrorCode::kPermission);
    EXPECT_EQ(PrivateKey::from_pem(pem, std::string(5000, 'x'), "k").error().code, ErrorCode::kPermission);
}

TEST(Keys, SignAndVerify) {
    const auto key = PrivateKey::generate();
    const auto other = PrivateKey::generate();
    ASSERT_TRUE(key.ok() && other.ok());
    const auto signature = key->sign(as_bytes("message"));
    ASSERT_TRUE(signature.ok());
    EXPECT_TRUE(key->public_key().verify(as_bytes("message"), *signature));
    EXPECT_FALSE(key->public_key().verify(as_bytes("massage"), *signature));
    EXPECT_FALSE(other->public_key().verify(as_bytes("message"), *signature));
    EXPECT_FALSE(key->public_key().verify(as_bytes("message"), {}));
    for (std::size_t i = 0; i < signature->size(); ++i) {
        Bytes bad = *signature;
        bad[i] ^= std::byte{1};
        EXPECT_FALSE(key->public_key().verify(as_bytes("message"), bad)) << i;
    }
    EXPECT_EQ(PublicKey::from_der(key->public_key().der(), "x")->pem(), key->public_key().pem());
    Bytes longer = key->public_key().der();
    longer.push_back(std::byte{0});
    EXPECT_FALSE(PublicKey::from_der(longer, "x").ok());
}

TEST(Keys, OtherKindsAreRefused) {
    // An Ed25519 public key and a P-384 private key: both valid, neither fit to sign with here.
    const char* ed25519 = "-----BEGIN PUBLIC KEY-----\nMCowBQYDK2VwAyEAGb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE=\n-----END PUBLIC KEY-----\n";
    EXPECT_EQ(PublicKey::from_pem(ed25519, "x").error().code, ErrorCode::kUnsupported);
    for (const char* bad : {"", "garbage", "-----BEGIN PUBLIC KEY-----\n-----END PUBLIC KEY-----\n", "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n"}) {
        EXPECT_EQ(PublicKey::from_pem(bad, "x").error().code, ErrorCode::kMalformed) << bad;
        EXPECT_EQ(PrivateKey::from_pem(bad, "", "x").error().code, ErrorCode::kMalformed) << bad;
    }
    const KeyHandle p384(EVP_EC_gen("P-384"));
    ASSERT_TRUE(p384);
    BIO* bio = BIO_new(BIO_s_mem());
    ASSERT_EQ(PEM_write_bio_PKCS8PrivateKey(bio, p384.get(), nullptr, nullptr, 0, nullptr, nullptr), 1);
    char* data = nullptr;
    const long n = BIO_get_mem_data(bio, &data);
    const std::string pem(data, static_cast<std::size_t>(n));
    BIO_free(bio);
    EXPECT_EQ(PrivateKey::from_pem(pem, "", "x").error().code, ErrorCode::kUnsupported);
}

TEST(Hmac, KnownAnswerAndRefusals) {
    // RFC 4231, test case 2.
    const auto document = sign_hmac(as_bytes("Jefe"), as_bytes("what do ya want for nothing?"));
    ASSERT_TRUE(document.ok());
    EXPECT_NE(as_text(*document).find("5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"), std::string_view::npos);
    EXPECT_TRUE(*verify_hmac(*document, as_bytes("Jefe"), as_bytes("what do ya want for nothing?"), "x"));
    EXPECT_FALSE(*verify_hmac(*document, as_bytes("Jefe"), as_bytes("what do ya want for something?"), "x"));
    EXPECT_FALSE(*verify_hmac(*document, as_bytes("jefe"), as_bytes("what do ya want for nothing?"), "x"));
    for (const char* bad : {"", "{}", "[]", "{\"mediaType\":\"application/vnd.tenpak.hmac.v1+json\"}",
                            "{\"mediaType\":\"x\",\"hmac_sha256\":\"5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843\"}",
                            "{\"mediaType\":\"application/vnd.tenpak.hmac.v1+json\",\"hmac_sha256\":\"5b\"}"}) {
        EXPECT_EQ(verify_hmac(as_bytes(bad), as_bytes("Jefe"), as_bytes("x"), "x").error().code, ErrorCode::kMalformed) << bad;
    }
}

}  // namespace
}  // namespace tenpak::signing

// SPDX-License-Identifier: Apache-2.0
// The published test vectors of OpenSSF Model Signing v1.0. They are not part of the repository.
#include "core/base/json.h"
#include "core/signing/bundle.h"
#include "core/signing/signing.h"
#include "core/signing/statement.h"
#include "tests/support/temp_dir.h"

namespace tenpak::signing {
namespace {

using test::TempDir;

// The key of valid/key.bundle.json: recovered from its signature, and the only one whose PEM hashes to the bundle's hint.
constexpr const char* kVectorKey =
    "-----BEGIN PUBLIC KEY-----\n"
    "MHYwEAYHKoZIzj0CAQYFK4EEACIDYgAEsu6rZGBTjxtvRWPMixT+3HyndV0J0Ybt\n"
    "aHZUcO4DEK+OJHO/4e32bb/fbJKSpRgcBsIpKLcVijUomyFOERbd7u+BTPSUjGZD\n"
    "Qq6J7lTvp/EAXQGOKxW9RP0MGX3qAkvi\n"
    "-----END PUBLIC KEY-----\n";

class OmsVectors : public testing::Test {
   protected:
    void SetUp() override {
        if (!fs::exists(vectors_)) GTEST_SKIP() << "SKIPPED: no OMS test vectors at " << vectors_;
    }
    fs::path vectors_ = test::shared_data() / "oms" / "test-vectors" / "v1.0";
};

TEST_F(OmsVectors, ValidKeyBundleVerifiesTheModelItWasMadeFor) {
    TempDir dir;
    dir.write("m/signme-1", "signme-1\n");
    dir.write("m/signme-2", "signme-2");
    dir.write("m/ignore-me", "anything");
    fs::copy(vectors_ / "valid/key.bundle.json", dir / "m/model.sig");
    VerifyRequest by_key;
    by_key.public_key = dir.write("key.pub", kVectorKey);
    const auto r = verify(dir / "m", by_key, {});
    ASSERT_TRUE(r.ok()) << r.error().text();
    EXPECT_TRUE(r->verified) << r->problem;
    EXPECT_EQ(r->scheme, "ecdsa-p384");
    EXPECT_EQ(r->fingerprint, "e8450dec4eb99dae995da9af1bc2cc9f76ed669ee2e744f57abba763df3e3f8e");
    EXPECT_EQ(r->files, 2u);
    dir.write("m/signme-2", "signme-3");
    EXPECT_FALSE(verify(dir / "m", by_key, {})->verified);
    dir.write("m/signme-2", "signme-2");
    EXPECT_TRUE(verify(dir / "m", by_key, {})->verified);
    dir.write("m/extra", "x");
    EXPECT_FALSE(verify(dir / "m", by_key, {})->intact);
    fs::remove(dir / "m/extra");
    fs::remove(dir / "m/signme-1");
    EXPECT_FALSE(verify(dir / "m", by_key, {})->intact);
}

TEST_F(OmsVectors, InvalidBundlesAreRefused) {
    std::size_t seen = 0;
    for (const auto& e : fs::directory_iterator(vectors_ / "invalid")) {
        const auto b = parse_bundle(*read_file(e.path()), e.path().string());
        EXPECT_TRUE(!b.ok() && b.error().code == ErrorCode::kMalformed) << e.path();
        ++seen;
    }
    EXPECT_EQ(seen, 4u);
}

TEST_F(OmsVectors, InvalidPayloadIsRefused) {
    const Json j = Json::parse(*read_text_file(vectors_ / "invalid-payload/wrong-predicate.bundle.json"));
    const auto b = parse_bundle(as_bytes(j.dump()), "x");
    if (b.ok()) EXPECT_FALSE(parse_statement(b->payload, "x").ok());
    else EXPECT_EQ(b.error().code, ErrorCode::kUnsupported) << b.error().text();
}

TEST_F(OmsVectors, CertificateBundlesAreUnsupportedAndNeverTaken) {
    for (const char* name : {"certificate.bundle.json", "sigstore.bundle.json"}) {
        const auto b = parse_bundle(*read_file(vectors_ / "valid" / name), name);
        ASSERT_FALSE(b.ok()) << name;
        EXPECT_EQ(b.error().code, ErrorCode::kUnsupported) << b.error().text();
    }
}

}  // namespace
}  // namespace tenpak::signing

// SPDX-License-Identifier: Apache-2.0
#include "core/signing/signing.h"

#include "core/signing/bundle.h"
#include "core/signing/ec_key.h"
#include "core/signing/hmac.h"
#include "core/signing/statement.h"
#include "tests/support/artifact_builder.h"
#include "tests/support/temp_dir.h"

namespace tenpak::signing {
namespace {

using test::TempDir;
using test::write_small;

using SignatureFiles = std::vector<std::pair<std::string, Bytes>>;

class Verify : public testing::TestWithParam<ArtifactForm> {
   protected:
    void SetUp() override {
        mine_ = *generate_key(dir_ / "mine", "");
        other_ = *generate_key(dir_ / "other", "");
        secret_ = dir_.write("secret", std::string(32, 's'));
        path_ = dir_ / "a.tnpk";
        write_small(path_, GetParam());
    }
    SigningKey key(const KeyPair& k) const {
        SigningKey s;
        s.private_key = k.private_key;
        return s;
    }
    VerifyReport report(const VerifyRequest& request = {}) const {
        const auto r = verify(path_, request, {});
        EXPECT_TRUE(r.ok()) << r.error().text();
        return r.ok() ? *r : VerifyReport{};
    }
    VerifyRequest by(const KeyPair& k) const {
        VerifyRequest r;
        r.public_key = k.public_key;
        return r;
    }
    /// Signs anew with a signer that does something wrong.
    void forge(const std::string& scheme, const std::function<void(SignatureFiles&, std::string_view manifest, const std::vector<FileRecord>&)>& change) {
        const auto honest = *make_signer(key(mine_), "small");
        const Status s = replace_signature(path_, scheme, [&](std::string_view manifest, const std::vector<FileRecord>& files) -> Result<SignatureFiles> {
            auto made = *honest(manifest, files);
            change(made, manifest, files);
            return made;
        }, {});
        ASSERT_TRUE(s.ok()) << s.error().text();
    }
    TempDir dir_;
    KeyPair mine_, other_;
    fs::path secret_, path_;
};

TEST_P(Verify, UnsignedIsIntactAndNotVerified) {
    const VerifyReport r = report();
    EXPECT_TRUE(r.intact);
    EXPECT_EQ(r.signature, SignatureState::kNone);
    EXPECT_FALSE(r.verified || r.trusted);
    EXPECT_EQ(r.scheme, "none");
    EXPECT_EQ(r.files, 3u);
    EXPECT_EQ(r.chunks, 6u);
    EXPECT_FALSE(verification_failed(r, {}));
    // Who asks for a key's signature and finds none has been cheated.
    EXPECT_TRUE(verification_failed(report(by(mine_)), by(mine_)));
    EXPECT_FALSE(report(by(mine_)).problem.empty());
}

TEST_P(Verify, SignedByAKeyPair) {
    ASSERT_TRUE(sign_artifact(path_, key(mine_), {}).ok());
    VerifyReport r = report(by(mine_));
    EXPECT_TRUE(r.intact && r.verified && r.trusted) << r.problem;
    EXPECT_EQ(r.signature, SignatureState::kValid);
    EXPECT_EQ(r.scheme, "ecdsa-p256");
    EXPECT_EQ(r.fingerprint, mine_.fingerprint);
    EXPECT_FALSE(verification_failed(r, by(mine_)));

    r = report(by(other_));
    EXPECT_TRUE(r.intact);
    EXPECT_EQ(r.signature, SignatureState::kInvalid);
    EXPECT_TRUE(verification_failed(r, by(other_)));

    r = report();  // nobody's key at hand but the one that travels along: valid, not trusted
    EXPECT_EQ(r.signature, SignatureState::kValid);
    EXPECT_TRUE(r.verified);
    EXPECT_FALSE(r.trusted);
    EXPECT_EQ(r.fingerprint, mine_.fingerprint);
    EXPECT_FALSE(r.problem.empty());

    auto store = *TrustStore::open(dir_ / "trust.json");
    ASSERT_TRUE(store.add({"", "Me", r.public_key, ""}).ok());
    VerifyRequest with_store;
    with_store.trust = &store;
    r = report(with_store);
    EXPECT_TRUE(r.trusted && r.verified);
    EXPECT_EQ(r.signer, "Me");
    EXPECT_TRUE(r.problem.empty());
}

TEST_P(Verify, SignedByASharedSecret) {
    SigningKey s;
    s.hmac_key = secret_;
    ASSERT_TRUE(sign_artifact(path_, s, {}).ok());
    VerifyRequest right, wrong;
    right.hmac_key = secret_;
    wrong.hmac_key = dir_.write("wrong", std::string(32, 'w'));
    VerifyReport r = report(right);
    EXPECT_TRUE(r.intact && r.verified) << r.problem;
    EXPECT_FALSE(r.trusted);  // says nobody's name
    EXPECT_TRUE(r.signer.empty());
    EXPECT_EQ(report(wrong).signature, SignatureState::kInvalid);
    r = report();
    EXPECT_EQ(r.signature, SignatureState::kUnchecked);
    EXPECT_FALSE(r.verified);
    EXPECT_TRUE(verification_failed(r, {}));
    EXPECT_EQ(report(by(mine_)).signature, SignatureState::kInvalid);
    EXPECT_FALSE(fs::exists(path_ / "model.sig"));
}

TEST_P(Verify, KeyConfusionIsRefused) {
    // The public key as shared secret: refused as a secret, for signing and for verifying.
    SigningKey s;
    s.hmac_key = mine_.public_key;
    EXPECT_EQ(sign_artifact(path_, s, {}).error().code, ErrorCode::kInvalidArgument);
    VerifyRequest confused;
    confused.hmac_key = mine_.public_key;
    EXPECT_EQ(verify(path_, confused, {}).error().code, ErrorCode::kInvalidArgument);
    // An HMAC made with the public key's bytes under the scheme of a key pair, and an ECDSA bundle under HMAC's scheme.
    forge("ecdsa-p256", [&](SignatureFiles& f, std::string_view manifest, auto&) { f[0].second = *sign_hmac(*read_file(mine_.public_key), as_bytes(manifest)); });
    EXPECT_EQ(report(by(mine_)).signature, SignatureState::kInvalid);
    forge("hmac-sha256", [](SignatureFiles&, auto, auto&) {});
    EXPECT_EQ(report(by(mine_)).signature, SignatureState::kInvalid);
    VerifyRequest by_secret;
    by_secret.hmac_key = secret_;
    EXPECT_EQ(report(by_secret).signature, SignatureState::kInvalid);
    forge("ecdsa-p384", [](SignatureFiles&, auto, auto&) {});
    EXPECT_EQ(report(by(mine_)).signature, SignatureState::kInvalid);
    ASSERT_TRUE(sign_artifact(path_, key(mine_), {}).ok());
    EXPECT_EQ(report(by_secret).signature, SignatureState::kInvalid);
    EXPECT_TRUE(verify(path_, by(mine_), {})->verified);
}

TEST_P(Verify, ForgedSignaturesAreFound) {
    const auto mine = *PrivateKey::from_pem(*read_text_file(mine_.private_key), "", "k");
    const auto other = *PrivateKey::from_pem(*read_text_file(other_.private_key), "", "k");
    const auto invalid = [&](const char* what) {
        EXPECT_EQ(report(by(mine_)).signature, SignatureState::kInvalid) << what;
        EXPECT_TRUE(report(by(mine_)).intact) << what;
        EXPECT_EQ(report().signature, SignatureState::kInvalid) << what;
        EXPECT_EQ(refuse_forged(**Artifact::open(path_), nullptr).error().code, ErrorCode::kSignature) << what;
    };
    forge("ecdsa-p256", [&](SignatureFiles& f, auto, auto&) { f[0].second = *sign_bundle(mine, kManifestType, as_bytes("another manifest"), true); });
    invalid("a signature over something else");
    forge("ecdsa-p256", [&](SignatureFiles& f, std::string_view m, auto&) { f[0].second = *sign_bundle(mine, kStatementType, as_bytes(m), true); });
    invalid("a signature of another type");
    forge("ecdsa-p256", [&](SignatureFiles& f, auto, const auto& files) { f[1].second = *sign_bundle(other, kStatementType, make_statement("m", files), false); });
    invalid("model.sig by another key");
    forge("ecdsa-p256", [&](SignatureFiles& f, auto, auto files) {
        files[0].sha256 = sha256(as_bytes("other content"));
        f[1].second = *sign_bundle(mine, kStatementType, make_statement("m", files), false);
    });
    invalid("model.sig over other files");
    forge("ecdsa-p256", [&](SignatureFiles& f, auto, auto files) {
        files.pop_back();
        f[1].second = *sign_bundle(mine, kStatementType, make_statement("m", files), false);
    });
    invalid("model.sig over fewer files");
    forge("ecdsa-p256", [&](SignatureFiles& f, auto, auto&) { f.pop_back(); });
    invalid("model.sig is missing");
    forge("ecdsa-p256", [&](SignatureFiles& f, auto, auto&) {
        std::string text(as_text(f[0].second));
        const auto at = text.find("\"sig\":\"") + 20;
        text[at] = text[at] == 'A' ? 'B' : 'A';
        f[0].second.assign(as_bytes(text).begin(), as_bytes(text).end());
    });
    invalid("a changed signature");
    // Another's key beside one's own signature: the key that travels along must fit the signature, the hint is nothing.
    forge("ecdsa-p256", [&](SignatureFiles& f, std::string_view m, auto&) {
        std::string a(as_text(*sign_bundle(mine, kManifestType, as_bytes(m), true))), b(as_text(*sign_bundle(other, kManifestType, as_bytes(m), true)));
        const auto raw = [](const std::string& s) { return s.find("\"rawBytes\":\"") + 12; };
        a.replace(raw(a), 120, b.substr(raw(b), 120));
        f[0].second.assign(as_bytes(a).begin(), as_bytes(a).end());
    });
    EXPECT_EQ(report().signature, SignatureState::kInvalid);
}

TEST_P(Verify, AnotherArtifactsSignatureDoesNotFit) {
    ASSERT_TRUE(sign_artifact(path_, key(mine_), {}).ok());
    const auto stolen = *(*Artifact::open(path_))->read_signature("signature.sig"), stolen_model = *(*Artifact::open(path_))->read_signature("model.sig");
    fs::remove_all(path_);
    auto w = *ArtifactWriter::create(path_, {GetParam(), "ecdsa-p256"});
    test::add_raw_file(*w, "evil.bin", "evil");
    ASSERT_TRUE(w->set_model({"small", "pack", true, {}, {}}).ok());
    ASSERT_TRUE(w->finish([&](auto, auto&) -> Result<SignatureFiles> {
        return SignatureFiles{{"signature.sig", stolen}, {"model.sig", stolen_model}};
    }, {}).ok());
    EXPECT_EQ(report().signature, SignatureState::kInvalid);
    EXPECT_EQ(report(by(mine_)).signature, SignatureState::kInvalid);
}

TEST_P(Verify, DamageIsAReportAndNotAnError) {
    ASSERT_TRUE(sign_artifact(path_, key(mine_), {}).ok());
    const auto data = GetParam() == ArtifactForm::kFile ? path_ : path_ / "chunks/0000.bin";
    std::string bytes = *read_text_file(data);
    const auto at = bytes.find("coded bytes");
    ASSERT_NE(at, std::string::npos);
    bytes[at] = 'x';
    std::ofstream(data, std::ios::binary) << bytes;
    const VerifyReport r = report(by(mine_));
    EXPECT_FALSE(r.intact || r.verified);
    EXPECT_EQ(r.signature, SignatureState::kValid);  // of a manifest that says what the chunk should have been
    EXPECT_NE(r.problem.find("SHA-256"), std::string::npos);
    EXPECT_TRUE(verification_failed(r, {}));
    EXPECT_EQ(sign_artifact(path_, key(mine_), {}).error().code, ErrorCode::kIntegrity);
    EXPECT_EQ(verify(dir_ / "nothing.tnpk", {}, {}).error().code, ErrorCode::kNotFound);
    VerifyRequest bad_key;
    bad_key.public_key = dir_ / "nothing.pub";
    EXPECT_EQ(verify(path_, bad_key, {}).error().code, ErrorCode::kNotFound);
}

TEST_P(Verify, StrippedSignatureIsNoticedWithoutAKey) {
    ASSERT_TRUE(sign_artifact(path_, key(mine_), {}).ok());
    if (GetParam() == ArtifactForm::kFile) return;  // its header has the length: damage_test
    fs::remove(path_ / "signature.sig");
    fs::remove(path_ / "model.sig");
    const std::string manifest = *read_text_file(path_ / "manifest.json");
    std::ofstream(path_ / "SHA256SUMS") << to_hex(sha256(as_bytes(manifest))) << "  manifest.json\n";
    const VerifyReport r = report();
    EXPECT_FALSE(r.verified);
    EXPECT_EQ(r.signature, SignatureState::kInvalid);
    EXPECT_TRUE(verification_failed(r, {}));
}

INSTANTIATE_TEST_SUITE_P(Form, Verify, testing::Values(ArtifactForm::kFile, ArtifactForm::kDirectory),
                         [](const auto& i) { return i.param == ArtifactForm::kFile ? "File" : "Directory"; });

TEST(Sign, AModelWithItsOwnModelSigIsRefused) {
    TempDir dir;
    auto w = *ArtifactWriter::create(dir / "a.tnpk", {});
    test::add_raw_file(*w, "model.sig", "an old signature");
    ASSERT_TRUE(w->set_model({"m", "pack", true, {}, {}}).ok());
    ASSERT_TRUE(w->finish({}, {}).ok());
    SigningKey k;
    k.private_key = generate_key(dir / "k", "")->private_key;
    EXPECT_EQ(sign_artifact(dir / "a.tnpk", k, {}).error().code, ErrorCode::kInvalidArgument);
    EXPECT_EQ(make_signer({}, "m").error().code, ErrorCode::kInvalidArgument);
}

TEST(VerifyDirectory, WithoutASignatureThereIsNothingToVerify) {
    TempDir dir;
    dir.write("m/config.json", "{}");
    EXPECT_EQ(verify(dir / "m", {}, {}).error().code, ErrorCode::kSignature);
}

}  // namespace
}  // namespace tenpak::signing

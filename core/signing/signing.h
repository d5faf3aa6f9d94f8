// SPDX-License-Identifier: Apache-2.0
// Signing and verifying: ECDSA P-256 (DSSE over manifest.json, OpenSSF Model Signing v1.0 over the unpacked files) and
// HMAC-SHA256 (proves that the holder of a shared secret made it: nobody's name). Facts: reference artifact.md section 2.
#pragma once
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "core/artifact/artifact.h"

namespace tenpak::signing {

namespace fs = std::filesystem;

struct KeyPair {
    fs::path private_key, public_key;  ///< DIR/tenpak.key (PKCS#8 PEM, mode 0600), DIR/tenpak.pub (PEM)
    std::string fingerprint;           ///< lowercase hex SHA-256 of the public key's PEM text: the bundles' hint
};
/// Refuses to overwrite. A passphrase encrypts the private key (AES-256-CBC, PBKDF2 by OpenSSL's PKCS#8 default).
Result<KeyPair> generate_key(const fs::path& directory, const std::string& passphrase);
/// Fingerprint of a PEM public key (or of the public half of a private one).
Result<std::string> key_fingerprint(const fs::path& key_file, const std::string& passphrase);

/// What to sign with. Exactly one is set.
struct SigningKey {
    fs::path private_key;
    std::string passphrase;
    fs::path hmac_key;
};
std::string scheme_of(const SigningKey& key);  ///< "ecdsa-p256" or "hmac-sha256": for ArtifactOptions
/// For ArtifactWriter::finish: signature.sig (and, for a key pair, model.sig).
Result<ArtifactWriter::Signer> make_signer(const SigningKey& key, const std::string& model_id);
/// Signs an artifact that exists: rewrites manifest's signature field, adds the signature files, atomically.
Status sign_artifact(const fs::path& artifact, const SigningKey& key, const JobContext& ctx);

/// Keys the user trusts: one JSON file shared by CLI, server and studio ($XDG_CONFIG_HOME/tenpak/trusted-keys.json).
struct TrustedKey {
    std::string fingerprint, name, pem, added;
};
class TrustStore {
   public:
    static Result<TrustStore> open(const fs::path& file);
    static fs::path default_file();
    /// A store that is never written: for tests and for readers of keys given otherwise.
    TrustStore() = default;
    const std::vector<TrustedKey>& keys() const { return keys_; }
    const TrustedKey* find(std::string_view fingerprint) const;
    /// Takes name and pem; fingerprint and added are filled in where empty. Replaces a key of the same fingerprint. Reads the
    /// file again under a lock and writes it atomically, so that other programs' keys stay.
    Status add(TrustedKey key);
    Status remove(std::string_view fingerprint);

   private:
    Status change(const TrustedKey* add, std::string_view remove);
    fs::path file_;
    std::vector<TrustedKey> keys_;
};

/// kUnchecked: signed, but the key to check it with is not at hand (a shared secret that was not given, a public key that
/// neither travels along nor is trusted). It is not verified, and nobody may read it as valid.
enum class SignatureState { kNone, kValid, kInvalid, kUnchecked };
const char* signature_state_name(SignatureState s);  ///< "none", "valid", "invalid", "unchecked"

struct VerifyRequest {
    fs::path public_key;   ///< verify by this key
    fs::path hmac_key;
    const TrustStore* trust = nullptr;
    bool rebuild = false;               ///< also decode everything and compare every file's SHA-256
    const ModelSource* base = nullptr;  ///< what a delta needs for that
};
/// The answer of `tenpak artifact verify`: design section 4's keys.
struct VerifyReport {
    bool intact = false;
    SignatureState signature = SignatureState::kNone;
    std::string scheme;     ///< "none", "ecdsa-p256", "hmac-sha256"
    std::string signer;     ///< trusted key's name, else its fingerprint, else ""
    std::string fingerprint;
    std::string public_key; ///< PEM of the key that the signature was valid by: for "Trust this key"
    bool trusted = false;   ///< by --public-key or the trust store; never for an HMAC
    bool lossless = true;   ///< as the manifest says; false: what it rebuilds is by design not the original
    bool rebuilt = false;   ///< every file was rebuilt, and its SHA-256 is the recorded one
    bool lossless_checked = false;  ///< both
    bool verified = false;  ///< intact and valid
    std::uint64_t files = 0, chunks = 0, bytes = 0;
    std::string problem;    ///< first thing wrong (or, where nothing is, what could not be checked), one sentence
};
/// Whether `verify` failed: exit code 3. An unsigned artifact that is intact did not, unless a key was asked for.
bool verification_failed(const VerifyReport& report, const VerifyRequest& request);
/// The signature alone, for readers that check every chunk anyway (unpack, reconstruct): fills all of a report but intact,
/// verified and the counts.
VerifyReport check_signature(const Artifact& artifact, const VerifyRequest& request);
/// Before unpacking: kSignature when the artifact's signature is wrong. A signature that cannot be checked, or none, passes.
Status refuse_forged(const Artifact& artifact, const TrustStore* trust);
/// `path`: a .tnpk of either form, or an unpacked directory with model.sig. An Error only where no report can be made
/// (cannot open); a damaged artifact is a report with intact == false.
Result<VerifyReport> verify(const fs::path& path, const VerifyRequest& request, const JobContext& ctx);

}  // namespace tenpak::signing

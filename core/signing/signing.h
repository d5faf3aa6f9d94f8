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
    const std::vector<TrustedKey>& keys() const { return keys_; }
    const TrustedKey* find(std::string_view fingerprint) const;
    Status add(TrustedKey key);  ///< writes the file atomically
    Status remove(std::string_view fingerprint);

   private:
    fs::path file_;
    std::vector<TrustedKey> keys_;
};

enum class SignatureState { kNone, kValid, kInvalid };
const char* signature_state_name(SignatureState s);

struct VerifyRequest {
    fs::path public_key;   ///< verify by this key
    fs::path hmac_key;
    const TrustStore* trust = nullptr;
};
/// The answer of `tenpak artifact verify`: design section 4's keys.
struct VerifyReport {
    bool intact = false;
    SignatureState signature = SignatureState::kNone;
    std::string scheme;     ///< "none", "ecdsa-p256", "hmac-sha256"
    std::string signer;     ///< trusted key's name, else its fingerprint, else ""
    std::string fingerprint;
    bool trusted = false;   ///< by --public-key or the trust store; never for an HMAC
    bool lossless_checked = false;
    bool verified = false;  ///< intact and valid
    std::uint64_t files = 0, chunks = 0, bytes = 0;
    std::string problem;    ///< first thing wrong, one sentence
};
/// `path`: a .tnpk of either form, or an unpacked directory with model.sig. An Error only where no report can be made
/// (cannot open); a damaged artifact is a report with intact == false.
Result<VerifyReport> verify(const fs::path& path, const VerifyRequest& request, const JobContext& ctx);

}  // namespace tenpak::signing

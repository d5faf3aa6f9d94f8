// SPDX-License-Identifier: Apache-2.0
// ECDSA keys on P-256 (signing and verifying), P-384 and P-521 (verifying), by OpenSSL 3. The hash function follows from
// the key's curve and is never read from what is verified. Internal to core/signing.
#pragma once
#include <openssl/evp.h>

#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "core/base/error.h"
#include "core/base/file.h"

namespace tenpak::signing {

struct FreeKey {
    void operator()(EVP_PKEY* k) const { EVP_PKEY_free(k); }
};
using KeyHandle = std::unique_ptr<EVP_PKEY, FreeKey>;

class PublicKey {
   public:
    /// PEM of a SubjectPublicKeyInfo. kUnsupported for other kinds of keys and curves.
    static Result<PublicKey> from_pem(std::string_view pem, const std::string& where);
    static Result<PublicKey> from_der(std::span<const std::byte> der, const std::string& where);
    /// As OpenSSL writes it: 64 columns, newline at the end.
    const std::string& pem() const { return pem_; }
    Bytes der() const;
    /// Lowercase hex SHA-256 of pem(): the hint of OMS bundles.
    std::string fingerprint() const;
    std::string scheme() const { return scheme_; }  ///< "ecdsa-p256", "ecdsa-p384", "ecdsa-p521"
    /// Whether `signature` (DER) is this key's over `message`.
    bool verify(std::span<const std::byte> message, std::span<const std::byte> signature) const;

   private:
    friend class PrivateKey;
    static Result<PublicKey> adopt(KeyHandle key, const std::string& where);
    std::shared_ptr<EVP_PKEY> key_;
    std::string pem_, scheme_;
};

class PrivateKey {
   public:
    static Result<PrivateKey> generate();
    /// PKCS#8 or SEC 1 PEM. kPermission for a missing or wrong passphrase, kUnsupported for a key that is not on P-256.
    static Result<PrivateKey> from_pem(std::string_view pem, const std::string& passphrase, const std::string& where);
    /// PKCS#8; encrypted (AES-256-CBC, PBKDF2) where there is a passphrase.
    Result<std::string> to_pem(const std::string& passphrase) const;
    const PublicKey& public_key() const { return public_; }
    Result<Bytes> sign(std::span<const std::byte> message) const;  ///< ECDSA with SHA-256, DER

   private:
    static Result<PrivateKey> adopt(KeyHandle key, const std::string& where);
    KeyHandle key_;
    PublicKey public_;
};

}  // namespace tenpak::signing

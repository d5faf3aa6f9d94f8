// SPDX-License-Identifier: Apache-2.0
#include "core/signing/ec_key.h"

#include <openssl/bio.h>
#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509.h>

#include <cstring>

#include "core/base/hash.h"

namespace tenpak::signing {
namespace {

struct FreeBio {
    void operator()(BIO* b) const { BIO_free(b); }
};
using Bio = std::unique_ptr<BIO, FreeBio>;
struct FreeContext {
    void operator()(EVP_MD_CTX* c) const { EVP_MD_CTX_free(c); }
};

Bio read_bio(std::string_view text) { return Bio(BIO_new_mem_buf(text.data(), static_cast<int>(std::min<std::size_t>(text.size(), 1u << 20)))); }
std::string text_of(BIO* bio) {
    char* data = nullptr;
    const long n = BIO_get_mem_data(bio, &data);
    return n > 0 ? std::string(data, static_cast<std::size_t>(n)) : std::string();
}
/// OpenSSL must never ask on the terminal: without this it would.
int give_passphrase(char* buffer, int size, int, void* user) {
    const auto* passphrase = static_cast<const std::string*>(user);
    if (passphrase == nullptr || passphrase->empty() || passphrase->size() > static_cast<std::size_t>(size)) return -1;
    std::memcpy(buffer, passphrase->data(), passphrase->size());
    return static_cast<int>(passphrase->size());
}
const unsigned char* u8(std::span<const std::byte> b) { return reinterpret_cast<const unsigned char*>(b.data()); }

/// "ecdsa-p256" …, or nothing for a key that is not on one of the three curves.
std::string scheme_of_key(EVP_PKEY* key) {
    char group[64] = {};
    if (EVP_PKEY_get_base_id(key) != EVP_PKEY_EC || EVP_PKEY_get_group_name(key, group, sizeof group, nullptr) != 1) return {};
    const std::string_view g = group;
    if (g == "prime256v1" || g == "P-256") return "ecdsa-p256";
    if (g == "secp384r1" || g == "P-384") return "ecdsa-p384";
    if (g == "secp521r1" || g == "P-521") return "ecdsa-p521";
    return {};
}
const EVP_MD* hash_of(std::string_view scheme) {
    return scheme == "ecdsa-p256" ? EVP_sha256() : scheme == "ecdsa-p384" ? EVP_sha384() : EVP_sha512();
}
Error not_a_key(const char* kind, const std::string& where) {
    ERR_clear_error();
    return make_error(ErrorCode::kMalformed, std::string("not a ") + kind + " key in PEM form", where, "tenpak artifact keygen makes a pair");
}
Error crypto_error(const char* what) {
    ERR_clear_error();
    return make_error(ErrorCode::kInternal, std::string("the cryptographic library failed to ") + what);
}

}  // namespace

Result<PublicKey> PublicKey::adopt(KeyHandle key, const std::string& where) {
    PublicKey p;
    p.scheme_ = scheme_of_key(key.get());
    if (p.scheme_.empty()) {
        return make_error(ErrorCode::kUnsupported, "not an ECDSA key on P-256, P-384 or P-521", where, "tenpak artifact keygen makes one on P-256");
    }
    const Bio bio(BIO_new(BIO_s_mem()));
    if (!bio || PEM_write_bio_PUBKEY(bio.get(), key.get()) != 1) return crypto_error("write a public key");
    p.pem_ = text_of(bio.get());
    p.key_ = std::shared_ptr<EVP_PKEY>(key.release(), FreeKey());
    return p;
}

Result<PublicKey> PublicKey::from_pem(std::string_view pem, const std::string& where) {
    const Bio bio = read_bio(pem);
    KeyHandle key(bio ? PEM_read_bio_PUBKEY(bio.get(), nullptr, give_passphrase, nullptr) : nullptr);
    if (!key) return not_a_key("public", where);
    return adopt(std::move(key), where);
}

Result<PublicKey> PublicKey::from_der(std::span<const std::byte> der, const std::string& where) {
    const unsigned char* p = u8(der);
    KeyHandle key(d2i_PUBKEY(nullptr, &p, static_cast<long>(std::min<std::size_t>(der.size(), 1u << 20))));
    if (!key || p != u8(der) + der.size()) {
        ERR_clear_error();
        return make_error(ErrorCode::kMalformed, "not a public key in DER form", where);
    }
    return adopt(std::move(key), where);
}

Bytes PublicKey::der() const {
    unsigned char* data = nullptr;
    const int n = i2d_PUBKEY(key_.get(), &data);
    if (n <= 0) return {};
    Bytes b(static_cast<std::size_t>(n));
    std::memcpy(b.data(), data, b.size());
    OPENSSL_free(data);
    return b;
}

std::string PublicKey::fingerprint() const { return to_hex(sha256(as_bytes(pem_))); }

bool PublicKey::verify(std::span<const std::byte> message, std::span<const std::byte> signature) const {
    const std::unique_ptr<EVP_MD_CTX, FreeContext> ctx(EVP_MD_CTX_new());
    const bool ok = ctx && EVP_DigestVerifyInit(ctx.get(), nullptr, hash_of(scheme_), nullptr, key_.get()) == 1 &&
                    EVP_DigestVerify(ctx.get(), u8(signature), signature.size(), u8(message), message.size()) == 1;
    ERR_clear_error();
    return ok;
}

Result<PrivateKey> PrivateKey::adopt(KeyHandle key, const std::string& where) {
    if (scheme_of_key(key.get()) != "ecdsa-p256") {
        return make_error(ErrorCode::kUnsupported, "not a private key on P-256", where, "tenpak artifact keygen makes one");
    }
    PrivateKey p;
    if (EVP_PKEY_up_ref(key.get()) != 1) return crypto_error("share a key");
    TENPAK_ASSIGN(p.public_, PublicKey::adopt(KeyHandle(key.get()), where));
    p.key_ = std::move(key);
    return p;
}

Result<PrivateKey> PrivateKey::generate() {
    KeyHandle key(EVP_EC_gen("P-256"));
    if (!key) return crypto_error("generate a key");
    return adopt(std::move(key), "new key");
}

Result<PrivateKey> PrivateKey::from_pem(std::string_view pem, const std::string& passphrase, const std::string& where) {
    const Bio bio = read_bio(pem);
    auto* user = const_cast<std::string*>(&passphrase);  // OpenSSL's callback takes void*, and only reads it
    KeyHandle key(bio ? PEM_read_bio_PrivateKey(bio.get(), nullptr, give_passphrase, user) : nullptr);
    if (!key) {
        if (pem.find("ENCRYPTED") != pem.npos) {
            ERR_clear_error();
            return make_error(ErrorCode::kPermission, passphrase.empty() ? "the private key needs a passphrase" : "the passphrase does not open the private key",
                              where, "Give it with --passphrase-file");
        }
        return not_a_key("private", where);
    }
    return adopt(std::move(key), where);
}

Result<std::string> PrivateKey::to_pem(const std::string& passphrase) const {
    const Bio bio(BIO_new(BIO_s_mem()));
    const EVP_CIPHER* cipher = passphrase.empty() ? nullptr : EVP_aes_256_cbc();
    auto* user = const_cast<std::string*>(&passphrase);
    if (!bio || PEM_write_bio_PKCS8PrivateKey(bio.get(), key_.get(), cipher, nullptr, 0, give_passphrase, user) != 1) {
        return crypto_error("write a private key");
    }
    return text_of(bio.get());
}

Result<Bytes> PrivateKey::sign(std::span<const std::byte> message) const {
    const std::unique_ptr<EVP_MD_CTX, FreeContext> ctx(EVP_MD_CTX_new());
    std::size_t n = 0;
    if (!ctx || EVP_DigestSignInit(ctx.get(), nullptr, EVP_sha256(), nullptr, key_.get()) != 1 ||
        EVP_DigestSign(ctx.get(), nullptr, &n, u8(message), message.size()) != 1) {
        return crypto_error("sign");
    }
    Bytes signature(n);
    if (EVP_DigestSign(ctx.get(), reinterpret_cast<unsigned char*>(signature.data()), &n, u8(message), message.size()) != 1) return crypto_error("sign");
    signature.resize(n);
    return signature;
}

}  // namespace tenpak::signing

// SPDX-License-Identifier: Apache-2.0
#include "core/signing/hmac.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>

#include "core/base/hash.h"
#include "core/base/json.h"

namespace tenpak::signing {
namespace {
constexpr std::string_view kMediaType = "application/vnd.tenpak.hmac.v1+json";

Result<Digest> hmac_sha256(std::span<const std::byte> secret, std::span<const std::byte> message) {
    Digest d{};
    unsigned n = 0;
    if (HMAC(EVP_sha256(), secret.data(), static_cast<int>(secret.size()), reinterpret_cast<const unsigned char*>(message.data()), message.size(),
             d.data(), &n) == nullptr || n != d.size()) {
        return make_error(ErrorCode::kInternal, "the cryptographic library failed to compute an HMAC");
    }
    return d;
}
std::string document_of(const Digest& mac) { return canonical_json(Json{{"hmac_sha256", to_hex(mac)}, {"mediaType", kMediaType}}); }
}  // namespace

Result<Bytes> sign_hmac(std::span<const std::byte> secret, std::span<const std::byte> message) {
    TENPAK_ASSIGN(const Digest mac, hmac_sha256(secret, message));
    const std::string text = document_of(mac);
    return Bytes(as_bytes(text).begin(), as_bytes(text).end());
}

Result<bool> verify_hmac(std::span<const std::byte> document, std::span<const std::byte> secret, std::span<const std::byte> message, const std::string& where) {
    TENPAK_ASSIGN(const Json j, parse_json(as_text(document), where, {4096, 4}));
    TENPAK_ASSIGN(const std::string type, json_get<std::string>(j, "mediaType", where));
    TENPAK_ASSIGN(const std::string hex, json_get<std::string>(j, "hmac_sha256", where));
    const auto claimed = digest_from_hex(hex);
    if (type != kMediaType || j.size() != 2 || !claimed) return make_error(ErrorCode::kMalformed, "not an HMAC document", where);
    TENPAK_ASSIGN(const Digest mac, hmac_sha256(secret, message));
    return CRYPTO_memcmp(mac.data(), claimed->data(), mac.size()) == 0;
}

}  // namespace tenpak::signing

// SPDX-License-Identifier: Apache-2.0
#include "core/signing/bundle.h"

#include "core/base/json.h"
#include "core/signing/encoding.h"

namespace tenpak::signing {
namespace {
constexpr std::string_view kMediaType = "application/vnd.dev.sigstore.bundle.v0.3+json";
constexpr std::string_view kMediaTypeOlder = "application/vnd.dev.sigstore.bundle+json;version=0.";
}  // namespace

Bytes pre_authentication_encoding(std::string_view type, std::span<const std::byte> payload) {
    const std::string head = "DSSEv1 " + std::to_string(type.size()) + " " + std::string(type) + " " + std::to_string(payload.size()) + " ";
    Bytes out(as_bytes(head).begin(), as_bytes(head).end());
    out.insert(out.end(), payload.begin(), payload.end());
    return out;
}

Result<Bytes> sign_bundle(const PrivateKey& key, std::string_view type, std::span<const std::byte> payload, bool with_key) {
    TENPAK_ASSIGN(const Bytes signature, key.sign(pre_authentication_encoding(type, payload)));
    const PublicKey& pub = key.public_key();
    Json id = {{"hint", pub.fingerprint()}};
    if (with_key) {
        id["rawBytes"] = to_base64(pub.der());
        id["keyDetails"] = "PKIX_ECDSA_P256_SHA_256";
    }
    // keyid is empty as in the OMS reference tool: the hint above has the key.
    const Json j = {{"mediaType", kMediaType},
                    {"verificationMaterial", {{"publicKey", std::move(id)}, {"tlogEntries", Json::array()}}},
                    {"dsseEnvelope", {{"payload", to_base64(payload)}, {"payloadType", type},
                                      {"signatures", Json::array({{{"sig", to_base64(signature)}, {"keyid", ""}}})}}}};
    const std::string text = canonical_json(j);
    return Bytes(as_bytes(text).begin(), as_bytes(text).end());
}

Result<Bundle> parse_bundle(std::span<const std::byte> json, const std::string& where) {
    const auto bad = [&](std::string what) { return make_error(ErrorCode::kMalformed, "not a signature bundle: " + what, where); };
    try {
        TENPAK_ASSIGN(const Json j, parse_json(as_text(json), where, {256u << 20, 32}));
        if (!j.is_object()) return bad("no object");
        TENPAK_ASSIGN(const std::string media_type, json_get<std::string>(j, "mediaType", where));
        if (media_type != kMediaType && !media_type.starts_with(kMediaTypeOlder)) return bad("unknown mediaType");
        TENPAK_ASSIGN(const Json material, json_get<Json>(j, "verificationMaterial", where));
        if (!material.is_object()) return bad("verificationMaterial is no object");
        const int kinds = (material.contains("publicKey") ? 1 : 0) + (material.contains("certificate") ? 1 : 0) + (material.contains("x509CertificateChain") ? 1 : 0);
        if (kinds != 1) return bad("verificationMaterial must have one of publicKey, certificate and x509CertificateChain");
        if (material.contains("certificate") && !(material.contains("tlogEntries") && material["tlogEntries"].is_array() && !material["tlogEntries"].empty())) {
            return bad("a certificate without an entry in a transparency log");
        }
        const auto envelope = j.find("dsseEnvelope");
        if (envelope == j.end() || !envelope->is_object()) return bad("dsseEnvelope is missing");
        if (!material.contains("publicKey")) {
            return make_error(ErrorCode::kUnsupported, "signed with a certificate; this version verifies plain keys", where);
        }
        const Json& id = material["publicKey"];
        if (!id.is_object() || (!id.contains("hint") && !id.contains("rawBytes"))) return bad("publicKey has neither hint nor rawBytes");
        Bundle b;
        if (id.contains("hint") && !id["hint"].is_null()) {
            TENPAK_ASSIGN(b.hint, json_get<std::string>(id, "hint", where));
            if (b.hint.size() > 1024) return bad("hint is too long");
        }
        if (id.contains("rawBytes")) {
            TENPAK_ASSIGN(const std::string raw, json_get<std::string>(id, "rawBytes", where));
            b.key_der = from_base64(raw);
            if (!b.key_der || b.key_der->size() > 4096) return bad("rawBytes is no key in base64");
        }
        TENPAK_ASSIGN(b.payload_type, json_get<std::string>(*envelope, "payloadType", where));
        const auto payload = envelope->find("payload");
        if (payload == envelope->end() || !payload->is_string()) return bad("payload is missing");
        auto decoded = from_base64(payload->get_ref<const std::string&>());
        if (!decoded) return bad("payload is no base64");
        b.payload = std::move(*decoded);
        const auto signatures = envelope->find("signatures");
        if (signatures == envelope->end() || !signatures->is_array() || signatures->size() != 1 || !(*signatures)[0].is_object()) {
            return bad("there must be exactly one signature");
        }
        TENPAK_ASSIGN(const std::string sig, json_get<std::string>((*signatures)[0], "sig", where));
        auto signature = from_base64(sig);
        if (!signature || signature->empty() || signature->size() > 4096) return bad("sig is no signature in base64");
        b.signature = std::move(*signature);
        return b;
    } catch (const std::bad_alloc&) {
        return make_error(ErrorCode::kOutOfMemory, "not enough memory for a signature bundle", where);
    } catch (const std::exception& e) {
        return bad(e.what());
    }
}

bool verify_bundle(const Bundle& b, const PublicKey& key) { return key.verify(pre_authentication_encoding(b.payload_type, b.payload), b.signature); }

}  // namespace tenpak::signing

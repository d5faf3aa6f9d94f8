// SPDX-License-Identifier: Apache-2.0
// Sigstore bundles (JSON, v0.3) that hold a DSSE envelope signed by a plain key. Format: sigstore bundle v0.3, DSSE v1
// (secure-systems-lab), OMS v1.0 section 4. Internal to core/signing.
#pragma once
#include <optional>
#include <string>
#include <string_view>

#include "core/base/error.h"
#include "core/base/file.h"
#include "core/signing/ec_key.h"

namespace tenpak::signing {

inline constexpr std::string_view kManifestType = "application/vnd.tenpak.manifest.v1+json";
inline constexpr std::string_view kStatementType = "application/vnd.in-toto+json";

struct Bundle {
    std::string hint;              ///< selects a key, proves nothing
    std::optional<Bytes> key_der;  ///< the signer's public key, if it travels along: proves nothing either
    std::string payload_type;
    Bytes payload;
    Bytes signature;               ///< DER
};

/// DSSE's pre-authentication encoding: what is signed.
Bytes pre_authentication_encoding(std::string_view type, std::span<const std::byte> payload);

/// A signed bundle as JSON. `with_key`: the public key travels along, so that a reader who does not have it can say
/// whether the signature is valid (trust is another question).
Result<Bytes> sign_bundle(const PrivateKey& key, std::string_view type, std::span<const std::byte> payload, bool with_key);

/// kMalformed for what is no bundle or has not exactly one signature, kUnsupported for certificates and Sigstore keyless.
Result<Bundle> parse_bundle(std::span<const std::byte> json, const std::string& where);
bool verify_bundle(const Bundle& bundle, const PublicKey& key);

}  // namespace tenpak::signing

// SPDX-License-Identifier: Apache-2.0
// signature.sig of the scheme hmac-sha256: the HMAC of manifest.json's bytes in a small JSON document. It shows that a
// holder of the secret made the artifact; anybody who can verify can also forge. Internal to core/signing.
#pragma once
#include "core/base/error.h"
#include "core/base/file.h"

namespace tenpak::signing {

Result<Bytes> sign_hmac(std::span<const std::byte> secret, std::span<const std::byte> message);
/// kMalformed for what is no such document; otherwise whether the HMAC is right, compared in constant time.
Result<bool> verify_hmac(std::span<const std::byte> document, std::span<const std::byte> secret, std::span<const std::byte> message, const std::string& where);

}  // namespace tenpak::signing

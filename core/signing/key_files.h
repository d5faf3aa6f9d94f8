// SPDX-License-Identifier: Apache-2.0
// Keys from files. Internal to core/signing.
#pragma once
#include "core/signing/ec_key.h"

namespace tenpak::signing {

/// A public key, or the public half of a private one.
Result<PublicKey> load_public_key(const fs::path& file, const std::string& passphrase);
Result<PrivateKey> load_private_key(const fs::path& file, const std::string& passphrase);
/// The bytes of a shared secret, exactly as they lie in the file. Refuses PEM keys and secrets under 16 bytes.
Result<Bytes> load_secret(const fs::path& file);

}  // namespace tenpak::signing

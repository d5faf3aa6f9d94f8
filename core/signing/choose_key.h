// SPDX-License-Identifier: Apache-2.0
// Which key a bundle is verified with. Internal to core/signing.
#pragma once
#include <optional>
#include <string>

#include "core/signing/bundle.h"
#include "core/signing/signing.h"

namespace tenpak::signing {

struct ChosenKey {
    std::optional<PublicKey> key;  ///< none: not at hand
    bool trusted = false;
    std::string name;
};
/// The key the user named, else a trusted one, else the one that travels along (not trusted).
Result<ChosenKey> choose_key(const Bundle& bundle, const VerifyRequest& request);

template <class T>
Status status_of(Result<T> r) {
    if (!r.ok()) return std::move(r).error();
    return {};
}

}  // namespace tenpak::signing

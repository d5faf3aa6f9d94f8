// SPDX-License-Identifier: Apache-2.0
#include <cstdlib>

#include "core/signing/bundle.h"
#include "core/signing/encoding.h"
#include "core/signing/hmac.h"
#include "core/signing/statement.h"
#include "tests/fuzz/fuzz_artifact.h"
#include "tests/fuzz/targets.h"

namespace tenpak::fuzz {

void bundle_target(Input input) {
    if (const auto b = signing::parse_bundle(input, "fuzz"); b.ok()) {
        (void)signing::parse_statement(b->payload, "fuzz");
        if (b->key_der) {
            if (const auto key = signing::PublicKey::from_der(*b->key_der, "fuzz"); key.ok()) (void)signing::verify_bundle(*b, *key);
        }
    }
    if (const auto s = signing::parse_statement(input, "fuzz"); s.ok()) {
        for (const auto& r : s->resources) {
            if (!check_relative_path(r.name).ok()) std::abort();
        }
    }
    (void)signing::PublicKey::from_pem(as_text(input), "fuzz");
    (void)signing::verify_hmac(input, as_bytes("0123456789abcdef"), as_bytes("message"), "fuzz");
    if (const auto bytes = signing::from_base64(as_text(input))) {
        if (signing::from_base64(signing::to_base64(*bytes)) != bytes) std::abort();
    }
}

std::vector<std::string> bundle_seeds() {
    const SmallArtifact a;
    FileRecord f;
    f.path = "a/b.json";
    std::vector<std::string> seeds{a.signature("signature.sig"), a.signature("model.sig"), std::string(as_text(signing::make_statement("m", {f})))};
    if (const auto h = signing::sign_hmac(as_bytes("0123456789abcdef"), as_bytes("message")); h.ok()) seeds.emplace_back(as_text(*h));
    if (const auto k = signing::PrivateKey::generate(); k.ok()) seeds.push_back(k->public_key().pem());
    return seeds;
}

}  // namespace tenpak::fuzz

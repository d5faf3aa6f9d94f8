// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <optional>

#include "core/delta/reconstruct.h"
#include "core/signing/bundle.h"
#include "core/signing/choose_key.h"
#include "core/signing/hmac.h"
#include "core/signing/key_files.h"
#include "core/signing/signing.h"
#include "core/signing/statement.h"
#include "core/signing/verify_directory.h"

namespace tenpak::signing {
namespace {

/// One sentence of an error, without its hint.
std::string sentence(const Error& e) { return e.where.empty() ? e.what : e.what + " (" + e.where + ")"; }

/// Whether model.sig is by `key` and lists exactly the files of the manifest.
std::string model_signature_problem(const Artifact& artifact, const PublicKey& key) {
    const auto bytes = artifact.read_signature("model.sig");
    if (!bytes.ok()) return "model.sig is missing";
    const auto bundle = parse_bundle(*bytes, "model.sig");
    if (!bundle.ok()) return sentence(bundle.error());
    if (bundle->payload_type != kStatementType || !verify_bundle(*bundle, key)) return "model.sig is not a valid signature by the same key";
    const auto statement = parse_statement(bundle->payload, "model.sig");
    if (!statement.ok()) return sentence(statement.error());
    std::vector<Resource> files;
    for (const FileRecord& f : artifact.files()) files.push_back({f.path, f.sha256});
    auto listed = statement->resources;
    const auto by_name = [](const Resource& a, const Resource& b) { return a.name < b.name; };
    std::sort(files.begin(), files.end(), by_name);
    std::sort(listed.begin(), listed.end(), by_name);
    // An ignored path more would be room for files that nobody signed.
    if (files != listed || statement->ignored != std::vector<std::string>{"model.sig"} || statement->allow_symlinks) {
        return "signature.sig and model.sig do not agree about the files";
    }
    return {};
}

void check_hmac(const Artifact& artifact, const Bytes& document, const VerifyRequest& request, VerifyReport& r) {
    if (request.hmac_key.empty()) {
        r.signature = SignatureState::kUnchecked;
        r.problem = "signed with a shared secret: give it with --hmac-key to check it";
        return;
    }
    const auto secret = load_secret(request.hmac_key);
    const auto right = secret.ok() ? verify_hmac(document, *secret, as_bytes(artifact.manifest_bytes()), "signature.sig") : Result<bool>(secret.error());
    r.signature = right.ok() && *right ? SignatureState::kValid : SignatureState::kInvalid;
    if (!right.ok()) r.problem = sentence(right.error());
    else if (!*right) r.problem = "the signature is not by this shared secret, or does not cover these contents";
    if (r.signature == SignatureState::kValid && artifact.read_signature("model.sig").ok()) {
        r.signature = SignatureState::kInvalid;
        r.problem = "there is a model.sig, which an artifact signed with a shared secret does not have";
    }
}

void check_ecdsa(const Artifact& artifact, const Bytes& document, const VerifyRequest& request, VerifyReport& r) {
    r.signature = SignatureState::kInvalid;
    const auto bundle = parse_bundle(document, "signature.sig");
    if (!bundle.ok()) {
        r.problem = sentence(bundle.error());
        return;
    }
    if (bundle->payload_type != kManifestType || as_text(bundle->payload) != artifact.manifest_bytes()) {
        r.problem = "the signature does not cover these contents";
        return;
    }
    const auto chosen = choose_key(*bundle, request);
    if (!chosen.ok()) {
        r.problem = sentence(chosen.error());
        return;
    }
    if (!chosen->key) {
        r.signature = SignatureState::kUnchecked;
        r.fingerprint = bundle->hint;
        r.problem = "the public key " + bundle->hint.substr(0, 16) + "… is not at hand: give it with --public-key";
        return;
    }
    // The manifest's scheme is signed; the key says which algorithm it is for. Nothing is taken from the envelope.
    if (chosen->key->scheme() != artifact.signature_scheme()) {
        r.problem = "the key is for " + chosen->key->scheme() + ", the artifact was signed by " + artifact.signature_scheme();
        return;
    }
    if (!verify_bundle(*bundle, *chosen->key)) {
        r.problem = bundle->hint == chosen->key->fingerprint() ? "the signature does not cover these contents" : "the signature is not by this key";
        return;
    }
    if (r.problem = model_signature_problem(artifact, *chosen->key); !r.problem.empty()) return;
    r.signature = SignatureState::kValid;
    r.fingerprint = chosen->key->fingerprint();
    r.public_key = chosen->key->pem();
    r.trusted = chosen->trusted;
    r.signer = chosen->name;
    if (!r.trusted) r.problem = "valid, but by a key that is not trusted here: compare its fingerprint with the publisher's";
}

Result<VerifyReport> verify_artifact(const fs::path& path, const VerifyRequest& request, const JobContext& ctx) {
    VerifyReport r;
    r.scheme = "none";
    const auto artifact = Artifact::open(path);
    if (!artifact.ok()) {
        const Error& e = artifact.error();
        if (e.code != ErrorCode::kIntegrity && e.code != ErrorCode::kSignature) return e;
        r.problem = sentence(e);
        if (e.code == ErrorCode::kSignature) r.signature = SignatureState::kInvalid;
        return r;
    }
    r = check_signature(**artifact, request);
    r.lossless = (*artifact)->model().lossless;
    r.files = (*artifact)->files().size();
    r.chunks = (*artifact)->blocks().size();
    r.bytes = (*artifact)->stored_bytes();
    const auto intact = (*artifact)->check_intact(ctx);
    if (!intact.ok()) {
        if (intact.error().code != ErrorCode::kIntegrity) return intact.error();
        r.problem = sentence(intact.error());
        return r;
    }
    r.intact = true;
    if (request.rebuild) {
        const auto rebuilt = delta::verify_rebuild(**artifact, request.base, {.threads = 0, .verify = delta::Verify::kFull, .verify_base = false}, ctx);
        if (!rebuilt.ok()) {
            if (rebuilt.error().code != ErrorCode::kIntegrity && rebuilt.error().code != ErrorCode::kMalformed) return rebuilt.error();
            r.intact = false;
            r.problem = "what it rebuilds is not what was stored: " + sentence(rebuilt.error());
            return r;
        }
        r.rebuilt = true;
        r.lossless_checked = r.lossless;
    }
    r.verified = r.signature == SignatureState::kValid;
    return r;
}

}  // namespace

const char* signature_state_name(SignatureState s) {
    switch (s) {
        case SignatureState::kNone: return "none";
        case SignatureState::kValid: return "valid";
        case SignatureState::kInvalid: return "invalid";
        case SignatureState::kUnchecked: return "unchecked";
    }
    return "invalid";
}

Result<ChosenKey> choose_key(const Bundle& bundle, const VerifyRequest& request) {
    ChosenKey c;
    if (!request.public_key.empty()) {
        TENPAK_ASSIGN(c.key, load_public_key(request.public_key, {}));
        c.trusted = true;  // the user named this key
        const TrustedKey* known = request.trust != nullptr ? request.trust->find(c.key->fingerprint()) : nullptr;
        c.name = known != nullptr ? known->name : c.key->fingerprint();
        return c;
    }
    if (bundle.key_der) {
        TENPAK_ASSIGN(c.key, PublicKey::from_der(*bundle.key_der, "signature.sig"));
        c.name = c.key->fingerprint();
    }
    if (request.trust == nullptr) return c;
    const TrustedKey* known = request.trust->find(c.key ? c.key->fingerprint() : bundle.hint);
    if (known == nullptr) return c;
    TENPAK_ASSIGN(c.key, PublicKey::from_pem(known->pem, "trusted key " + known->name));
    c.trusted = true;
    c.name = known->name;
    return c;
}

VerifyReport check_signature(const Artifact& artifact, const VerifyRequest& request) {
    VerifyReport r;
    r.scheme = artifact.signature_scheme();
    const auto refuse = [&](std::string why) {
        r.signature = SignatureState::kInvalid;
        r.problem = std::move(why);
        return r;
    };
    if (r.scheme == "none") {
        if (!request.public_key.empty() || !request.hmac_key.empty()) r.problem = "the artifact is not signed";
        return r;
    }
    const auto document = artifact.read_signature("signature.sig");
    if (!document.ok()) return refuse("signature.sig is missing");
    if (r.scheme == "hmac-sha256") {
        if (!request.public_key.empty()) return refuse("signed with a shared secret, which no public key can check");
        check_hmac(artifact, *document, request, r);
    } else if (r.scheme == "ecdsa-p256") {
        if (!request.hmac_key.empty()) return refuse("signed with a private key, which no shared secret can check");
        check_ecdsa(artifact, *document, request, r);
    } else {
        return refuse("signed by the scheme " + r.scheme + ", which this version cannot check");
    }
    return r;
}

Status refuse_forged(const Artifact& artifact, const TrustStore* trust) {
    VerifyRequest request;
    request.trust = trust;
    const VerifyReport r = check_signature(artifact, request);
    if (r.signature != SignatureState::kInvalid) return {};
    return make_error(ErrorCode::kSignature, r.problem, artifact.path().string(), "Get the artifact from its publisher");
}

bool verification_failed(const VerifyReport& r, const VerifyRequest& request) {
    if (!r.intact || r.signature == SignatureState::kInvalid || r.signature == SignatureState::kUnchecked) return true;
    return r.signature == SignatureState::kNone && (!request.public_key.empty() || !request.hmac_key.empty());
}

Result<VerifyReport> verify(const fs::path& path, const VerifyRequest& request, const JobContext& ctx) {
    std::error_code ec;
    if (!request.public_key.empty() && !request.hmac_key.empty()) {
        return make_error(ErrorCode::kInvalidArgument, "give one of a public key and a shared secret, not both");
    }
    // A key that cannot be read is the caller's mistake, not the artifact's.
    if (!request.public_key.empty()) TENPAK_RETURN_IF_ERROR(status_of(load_public_key(request.public_key, {})));
    if (!request.hmac_key.empty()) TENPAK_RETURN_IF_ERROR(status_of(load_secret(request.hmac_key)));
    if (!fs::exists(path, ec)) return make_error(ErrorCode::kNotFound, "no such file or folder", path.string());
    try {
        if (fs::is_directory(path, ec) && !looks_like_artifact(path)) return verify_directory(path, request, ctx);
        return verify_artifact(path, request, ctx);
    } catch (const std::bad_alloc&) {
        return make_error(ErrorCode::kOutOfMemory, "not enough memory to verify", path.string());
    } catch (const std::exception& e) {
        return make_error(ErrorCode::kIo, std::string("cannot verify: ") + e.what(), path.string());
    }
}

}  // namespace tenpak::signing

// SPDX-License-Identifier: Apache-2.0
#include <algorithm>

#include "core/signing/bundle.h"
#include "core/signing/hmac.h"
#include "core/signing/key_files.h"
#include "core/signing/signing.h"
#include "core/signing/statement.h"

namespace tenpak::signing {

std::string scheme_of(const SigningKey& key) {
    if (!key.hmac_key.empty()) return "hmac-sha256";
    return key.private_key.empty() ? "none" : "ecdsa-p256";
}

Result<ArtifactWriter::Signer> make_signer(const SigningKey& key, const std::string& model_id) {
    using Files = std::vector<std::pair<std::string, Bytes>>;
    if (key.private_key.empty() == key.hmac_key.empty()) {
        return make_error(ErrorCode::kInvalidArgument, "give exactly one of a private key and a shared secret to sign with");
    }
    if (!key.hmac_key.empty()) {
        TENPAK_ASSIGN(Bytes secret, load_secret(key.hmac_key));
        return ArtifactWriter::Signer([secret = std::move(secret)](std::string_view manifest, const std::vector<FileRecord>&) -> Result<Files> {
            TENPAK_ASSIGN(Bytes mac, sign_hmac(secret, as_bytes(manifest)));
            Files files;
            files.emplace_back("signature.sig", std::move(mac));
            return files;
        });
    }
    TENPAK_ASSIGN(PrivateKey loaded, load_private_key(key.private_key, key.passphrase));
    auto shared = std::make_shared<const PrivateKey>(std::move(loaded));
    return ArtifactWriter::Signer([shared, model_id](std::string_view manifest, const std::vector<FileRecord>& model_files) -> Result<Files> {
        if (std::any_of(model_files.begin(), model_files.end(), [](const FileRecord& f) { return f.path == "model.sig"; })) {
            return make_error(ErrorCode::kInvalidArgument, "the model has a file model.sig of its own, where its signature must go", "model.sig",
                              "Remove it from the model's folder and write the artifact again");
        }
        TENPAK_ASSIGN(Bytes over_manifest, sign_bundle(*shared, kManifestType, as_bytes(manifest), true));
        TENPAK_ASSIGN(Bytes over_model, sign_bundle(*shared, kStatementType, make_statement(model_id, model_files), false));
        Files files;
        files.emplace_back("signature.sig", std::move(over_manifest));
        files.emplace_back("model.sig", std::move(over_model));
        return files;
    });
}

Status sign_artifact(const fs::path& artifact, const SigningKey& key, const JobContext& ctx) {
    std::string model_id;
    {
        TENPAK_ASSIGN(const auto opened, Artifact::open(artifact));
        model_id = opened->model().model_id;
    }
    TENPAK_ASSIGN(const auto signer, make_signer(key, model_id));
    return replace_signature(artifact, scheme_of(key), signer, ctx);
}

}  // namespace tenpak::signing

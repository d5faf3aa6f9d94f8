// SPDX-License-Identifier: Apache-2.0
// tenpak artifact keygen | sign | verify | trust
#include "app/cli/artifact_sign.h"

#include <cstdio>

#include "core/artifact/artifact.h"
#include "core/signing/signing.h"

namespace tenpak::cli {
namespace {

struct Options {
    std::string path, output, passphrase_file, key, hmac_key, public_key, base, name, remove;
    bool full = false, require_trusted = false;
};

/// The first line: an editor's newline at the end is not part of a passphrase.
Result<std::string> read_passphrase(const std::string& file) {
    if (file.empty()) return std::string();
    TENPAK_ASSIGN(const std::string text, read_text_file(file, 64u << 10));
    const std::string line = text.substr(0, text.find_first_of("\r\n"));
    if (line.empty()) return make_error(ErrorCode::kInvalidArgument, "the passphrase file is empty", file);
    return line;
}

OrderedJson to_json(const signing::VerifyReport& r) {
    return {{"intact", r.intact}, {"signature", signature_state_name(r.signature)}, {"scheme", r.scheme}, {"signer", r.signer}, {"trusted", r.trusted},
            {"lossless", r.lossless}, {"lossless_checked", r.lossless_checked}, {"rebuilt", r.rebuilt}, {"verified", r.verified}, {"files", r.files}, {"chunks", r.chunks}, {"bytes", r.bytes},
            {"fingerprint", r.fingerprint}, {"problem", r.problem}};
}

std::string to_text(const std::string& path, const signing::VerifyReport& r) {
    std::string s = path + "\n  intact: " + (r.intact ? "yes" : "NO") + " (" + std::to_string(r.files) + " files, " + std::to_string(r.chunks) + " chunks, " +
                    format_bytes(static_cast<double>(r.bytes)) + ")\n  signature: " + signature_state_name(r.signature);
    if (r.scheme == "hmac-sha256") s += " (shared secret: intact for whoever has it, says nobody's name)";
    else if (r.signature == signing::SignatureState::kValid && r.trusted && r.signer == r.fingerprint) s += ", by the key that you named, " + r.fingerprint;
    else if (r.signature == signing::SignatureState::kValid && r.trusted) s += ", by " + r.signer + ", key " + r.fingerprint.substr(0, 16) + "…, which you trust";
    else if (r.signature == signing::SignatureState::kValid) s += ", by the key " + r.fingerprint + ", which you have not trusted yet";
    s += "\n  lossless: ";
    if (!r.lossless) s += std::string("no, lossy by design; ") + (r.rebuilt ? "every rebuilt file has the recorded SHA-256" : "not rebuilt (--full rebuilds everything)") + "\n";
    else s += std::string(r.lossless_checked ? "every file's SHA-256 recomputed" : "not checked (--full rebuilds everything)") + "\n";
    if (!r.problem.empty()) s += "  " + r.problem + "\n";
    return s;
}

/// Prints the report; a failed check is a line on stderr, too, and exit code 3.
int finish(const Context& ctx, const std::string& path, const signing::VerifyReport& r, bool failed) {
    print_result(ctx, to_json(r), to_text(path, r));
    if (!failed) return 0;
    Context plain;  // the one JSON document is on stdout already
    plain.quiet = ctx.quiet;
    return print_error(plain, make_error(r.intact ? ErrorCode::kSignature : ErrorCode::kIntegrity, r.problem.empty() ? "not verified" : r.problem, path));
}

Result<int> run_keygen(const Context& ctx, const Options& o) {
    TENPAK_ASSIGN(const std::string passphrase, read_passphrase(o.passphrase_file));
    TENPAK_ASSIGN(const auto pair, signing::generate_key(o.output, passphrase));
    print_result(ctx, {{"private_key", pair.private_key.string()}, {"public_key", pair.public_key.string()}, {"fingerprint", pair.fingerprint}},
                 "private key: " + pair.private_key.string() + (passphrase.empty() ? " (not encrypted: keep it to yourself)" : " (encrypted)") + "\npublic key: " +
                     pair.public_key.string() + " (give it to those who verify)\nfingerprint: " + pair.fingerprint);
    return 0;
}

Result<int> run_sign(const Context& ctx, const Options& o) {
    signing::SigningKey key;
    key.private_key = o.key;
    key.hmac_key = o.hmac_key;
    TENPAK_ASSIGN(key.passphrase, read_passphrase(o.passphrase_file));
    if (o.key.empty() == o.hmac_key.empty()) {
        return make_error(ErrorCode::kInvalidArgument, "give one of --key and --hmac-key", {}, "tenpak artifact keygen makes a key");
    }
    TENPAK_RETURN_IF_ERROR(signing::sign_artifact(o.path, key, ctx.job));
    TENPAK_ASSIGN(const auto trust, signing::TrustStore::open(signing::TrustStore::default_file()));
    signing::VerifyRequest request;
    request.trust = &trust;
    request.hmac_key = o.hmac_key;
    TENPAK_ASSIGN(auto report, signing::verify(o.path, request, ctx.job));
    if (report.verified) report.problem.clear();  // that one has not put the own key on the list of trusted ones is no problem
    return finish(ctx, o.path, report, !report.verified);
}

Result<int> run_verify(const Context& ctx, const Options& o) {
    TENPAK_ASSIGN(const auto trust, signing::TrustStore::open(signing::TrustStore::default_file()));
    signing::VerifyRequest request;
    request.public_key = o.public_key;
    request.hmac_key = o.hmac_key;
    request.trust = &trust;
    request.rebuild = o.full || !o.base.empty();
    std::shared_ptr<const ModelSource> base;
    if (!o.base.empty()) {
        TENPAK_ASSIGN(base, open_model(o.base));
        request.base = base.get();
    }
    TENPAK_ASSIGN(auto report, signing::verify(o.path, request, ctx.job));
    bool failed = signing::verification_failed(report, request);
    if (!failed && o.require_trusted && !report.trusted) {
        failed = true;
        if (report.problem.empty()) report.problem = "not signed by a trusted key";
    }
    return finish(ctx, o.path, report, failed);
}

Result<int> run_trust(const Context& ctx, const Options& o) {
    TENPAK_ASSIGN(auto trust, signing::TrustStore::open(signing::TrustStore::default_file()));
    if (!o.public_key.empty()) {
        if (o.name.empty()) return make_error(ErrorCode::kInvalidArgument, "a trusted key needs the name of its owner", {}, "Give --name");
        TENPAK_ASSIGN(const std::string pem, read_text_file(o.public_key, 64u << 10));
        signing::TrustedKey key;
        key.name = o.name;
        key.pem = pem;
        TENPAK_RETURN_IF_ERROR(trust.add(key));
    }
    if (!o.remove.empty()) TENPAK_RETURN_IF_ERROR(trust.remove(o.remove));
    OrderedJson keys = OrderedJson::array();
    std::string text;
    for (const auto& k : trust.keys()) {
        keys.push_back({{"fingerprint", k.fingerprint}, {"name", k.name}, {"added", k.added}});
        text += k.fingerprint + "  " + k.name + "  " + k.added + "\n";
    }
    print_result(ctx, {{"file", signing::TrustStore::default_file().string()}, {"keys", std::move(keys)}}, text.empty() ? "no trusted keys" : text);
    return 0;
}

}  // namespace

void add_artifact_sign(CLI::App& group, Context& ctx) {
    const auto o = std::make_shared<Options>();
    const auto verb = [&](const char* name, const char* what, Result<int> (*run)(const Context&, const Options&)) {
        auto* cmd = group.add_subcommand(name, what);
        cmd->callback([&ctx, o, run] { ctx.run = [&ctx, o, run] { return run(ctx, *o); }; });
        return cmd;
    };
    auto* keygen = verb("keygen", "Make a key pair to sign with (ECDSA on P-256)", run_keygen);
    keygen->add_option("-o,--output", o->output, "Folder for tenpak.key and tenpak.pub")->required();
    keygen->add_option("--passphrase-file", o->passphrase_file, "Encrypt the private key with this file's first line");

    auto* sign = verb("sign", "Sign an artifact in place", run_sign);
    sign->add_option("X", o->path, "The .tnpk")->required();
    auto* key = sign->add_option("--key", o->key, "Private key (PEM, P-256)");
    sign->add_option("--hmac-key", o->hmac_key, "Shared secret: a file of at least 16 bytes; proves nobody's identity")->excludes(key);
    sign->add_option("--passphrase-file", o->passphrase_file, "File whose first line opens the private key");

    auto* check = verb("verify", "Check every byte and the signature of a .tnpk or an unpacked model", run_verify);
    check->add_option("X", o->path, "The .tnpk, or a folder with model.sig")->required();
    auto* pub = check->add_option("--public-key", o->public_key, "The signer's public key (PEM)");
    check->add_option("--hmac-key", o->hmac_key, "The shared secret")->excludes(pub);
    check->add_option("--base", o->base, "The base that a delta needs: rebuild everything and compare");
    check->add_flag("--full", o->full, "Rebuild everything and compare every file's SHA-256");
    check->add_flag("--require-trusted", o->require_trusted, "Fail (exit code 3) unless a trusted key, or --public-key, has signed it");

    auto* trust = verb("trust", "Show, add or remove keys that you trust", run_trust);
    trust->add_option("--public-key", o->public_key, "Public key (PEM) to trust");
    trust->add_option("--name", o->name, "Whose key it is");
    trust->add_option("--remove", o->remove, "Fingerprint of a key not to trust any more");
}

}  // namespace tenpak::cli

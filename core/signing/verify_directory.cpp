// SPDX-License-Identifier: Apache-2.0
#include "core/signing/verify_directory.h"

#include <algorithm>
#include <map>
#include <set>

#include "core/signing/bundle.h"
#include "core/signing/choose_key.h"
#include "core/signing/statement.h"

namespace tenpak::signing {
namespace {

constexpr std::size_t kMaxFiles = 100'000;
constexpr std::uint64_t kMaxSignature = 64u << 20;

bool is_ignored(const std::vector<std::string>& ignored, const std::string& path) {
    return path == "model.sig" || std::any_of(ignored.begin(), ignored.end(), [&](const std::string& i) {
               return path == i || (path.size() > i.size() && path.starts_with(i) && path[i.size()] == '/');
           });
}

Result<Digest> file_digest(const fs::path& path, const JobContext& ctx, std::uint64_t& bytes) {
    TENPAK_ASSIGN(const File f, File::open(path));
    Bytes block(std::min<std::uint64_t>(f.size(), 4u << 20));
    Sha256 hash;
    for (std::uint64_t at = 0; at < f.size(); at += block.size()) {
        TENPAK_RETURN_IF_ERROR(ctx.check());
        const auto part = std::span(block).first(std::min<std::uint64_t>(block.size(), f.size() - at));
        TENPAK_RETURN_IF_ERROR(f.read_at(at, part));
        hash.update(part);
        bytes += part.size();
        ctx.report({"verify", bytes, 0, "bytes", path.filename().string()});
    }
    return hash.finish();
}

/// Every file and link below `root` that is not ignored, by relative path.
Result<std::map<std::string, fs::file_type>> list(const fs::path& root, const std::vector<std::string>& ignored) {
    std::map<std::string, fs::file_type> found;
    std::vector<std::string> folders{""};
    while (!folders.empty()) {
        const std::string folder = std::move(folders.back());
        folders.pop_back();
        std::error_code ec;
        for (fs::directory_iterator it(root / folder, ec), end; !ec && it != end; it.increment(ec)) {
            const std::string path = folder.empty() ? it->path().filename().string() : folder + "/" + it->path().filename().string();
            if (is_ignored(ignored, path)) continue;
            std::error_code type_ec;
            const fs::file_type type = it->symlink_status(type_ec).type();
            if (type == fs::file_type::directory) folders.push_back(path);
            else found.emplace(path, type);
            if (found.size() > kMaxFiles) return make_error(ErrorCode::kUnsupported, "more than 100,000 files", root.string(), "Choose the folder of one model");
        }
        if (ec) return errno_error("cannot read the folder", (root / folder).string(), ec.value());
    }
    return found;
}

/// The first thing in which the folder is not what was signed, or nothing.
Result<std::string> difference(const fs::path& root, const Statement& s, const JobContext& ctx, std::uint64_t& bytes) {
    TENPAK_ASSIGN(const auto found, list(root, s.ignored));
    std::set<std::string_view> listed;
    for (const Resource& r : s.resources) listed.insert(r.name);
    for (const auto& [path, type] : found) {
        if (!listed.contains(path)) return "a file that was not signed: " + path;
    }
    for (const Resource& r : s.resources) {
        const auto it = found.find(r.name);
        if (it == found.end()) return "a signed file is missing: " + r.name;
        if (it->second != fs::file_type::regular && !(it->second == fs::file_type::symlink && s.allow_symlinks)) {
            return "a signed file is a link or no file any more: " + r.name;
        }
        TENPAK_ASSIGN(const Digest d, file_digest(root / r.name, ctx, bytes));
        if (d != r.sha256) return "a signed file has changed: " + r.name;
    }
    return std::string();
}

}  // namespace

Result<VerifyReport> verify_directory(const fs::path& directory, const VerifyRequest& request, const JobContext& ctx) {
    std::error_code ec;
    if (!fs::exists(directory / "model.sig", ec)) {
        return make_error(ErrorCode::kSignature, "no model.sig in this folder, so there is nothing to verify it by", directory.string(),
                          "Choose a .tnpk, or a folder unpacked from a signed one");
    }
    if (!request.hmac_key.empty()) {
        return make_error(ErrorCode::kInvalidArgument, "an unpacked model is signed by a key pair; no shared secret can check it", directory.string());
    }
    TENPAK_ASSIGN(const Bytes bytes, read_file(directory / "model.sig", kMaxSignature));
    VerifyReport r;
    r.scheme = "ecdsa-p256";
    r.signature = SignatureState::kInvalid;
    const auto fail = [&](const Error& e) {
        r.problem = e.what + " (model.sig)";
        return r;
    };
    const auto bundle = parse_bundle(bytes, "model.sig");
    if (!bundle.ok()) return fail(bundle.error());
    const auto chosen = choose_key(*bundle, request);
    if (!chosen.ok()) return fail(chosen.error());
    if (chosen->key) r.scheme = chosen->key->scheme();
    if (bundle->payload_type != kStatementType) {
        r.problem = "model.sig signs something else than a model";
        return r;
    }
    if (chosen->key && !verify_bundle(*bundle, *chosen->key)) {
        r.problem = bundle->hint == chosen->key->fingerprint() ? "the signature does not cover its own list of files" : "the signature is not by this key";
        return r;
    }
    const auto statement = parse_statement(bundle->payload, "model.sig");
    if (!statement.ok()) return fail(statement.error());
    r.files = statement->resources.size();
    TENPAK_ASSIGN(r.problem, difference(directory, *statement, ctx, r.bytes));
    r.intact = r.lossless_checked = r.problem.empty();
    if (!chosen->key) {
        r.signature = SignatureState::kUnchecked;
        r.fingerprint = bundle->hint;
        if (r.problem.empty()) r.problem = "the public key " + bundle->hint.substr(0, 16) + "… is not at hand: give it with --public-key";
        return r;
    }
    r.signature = SignatureState::kValid;
    r.fingerprint = chosen->key->fingerprint();
    r.public_key = chosen->key->pem();
    r.trusted = chosen->trusted;
    r.signer = chosen->name;
    r.verified = r.intact;
    if (r.problem.empty() && !r.trusted) r.problem = "valid, but by a key that is not trusted here: compare its fingerprint with the publisher's";
    return r;
}

}  // namespace tenpak::signing

// SPDX-License-Identifier: Apache-2.0
#include "core/artifact/assemble.h"

#include <charconv>
#include <cstdlib>
#include <cstring>
#include <ctime>

#include "core/artifact/layout.h"
#include "core/artifact/sums.h"

namespace tenpak::artifact {
namespace {

constexpr std::uint64_t kCopyBlock = 4u << 20;

/// Reads all of it. What was just written and does not read back means that the disk or the memory is at fault.
Status read_back(const fs::path& written, const fs::path& final_path, const Accept& accept, const JobContext& ctx) {
    const auto explain = [&](const Error& e) {
        if (e.code == ErrorCode::kCancelled || e.code == ErrorCode::kOutOfMemory) return e;
        return make_error(ErrorCode::kIo, "what was written does not read back: " + e.what, final_path.string(), "Check the disk; nothing was put in place");
    };
    const auto artifact = Artifact::open(written);
    if (!artifact.ok()) return explain(artifact.error());
    if (const auto intact = (*artifact)->check_intact(ctx); !intact.ok()) return explain(intact.error());
    if (accept) return accept(**artifact);
    return {};
}

}  // namespace

Result<Signatures> make_signatures(const Manifest& manifest, std::string_view text, const ArtifactWriter::Signer& signer) {
    if ((manifest.signature_scheme == "none") != !signer) {
        return make_error(ErrorCode::kInvalidArgument, "a signature scheme needs a signer, and a signer a scheme");
    }
    Signatures out;
    if (!signer) return out;
    TENPAK_ASSIGN(auto made, signer(text, manifest.files));
    for (auto& [name, bytes] : made) {
        if ((name != "signature.sig" && name != "model.sig") || bytes.empty() || bytes.size() > kMaxSignature) {
            return make_error(ErrorCode::kInvalidArgument, "the signer made a file that an artifact has no place for: " + name);
        }
        out.emplace(name, std::move(bytes));
    }
    if (!out.contains("signature.sig")) return make_error(ErrorCode::kInvalidArgument, "the signer made no signature.sig");
    return out;
}

Status write_file_form(const fs::path& path, const Manifest& manifest, const std::string& text, const Signatures& signatures,
                       const ReadData& read_data, const Accept& accept, const JobContext& ctx) {
    Bytes tail;
    Header h;
    if (const auto it = signatures.find("signature.sig"); it != signatures.end()) {
        h.signature_bytes = it->second.size();
        tail = it->second;
    }
    if (const auto it = signatures.find("model.sig"); it != signatures.end()) {
        h.model_signature_bytes = it->second.size();
        tail.insert(tail.end(), it->second.begin(), it->second.end());
    }
    TENPAK_ASSIGN(const Bytes frame, pack_manifest(text));
    h.manifest_bytes = frame.size();
    h.data_offset = kHeaderBytes + frame.size();
    if (manifest.has_aligned()) h.data_offset = align_page(h.data_offset);
    h.data_bytes = manifest.data_bytes();
    h.manifest_sha256 = sha256(frame);
    h.signatures_sha256 = sha256(tail);

    TENPAK_ASSIGN(AtomicFile out, AtomicFile::create(path));
    TENPAK_RETURN_IF_ERROR(out.write(encode_header(h)));
    TENPAK_RETURN_IF_ERROR(out.write(frame));
    TENPAK_RETURN_IF_ERROR(out.write(Bytes(h.data_offset - out.position())));
    Bytes block(std::min(kCopyBlock, h.data_bytes));
    for (std::uint64_t at = 0; at < h.data_bytes; at += kCopyBlock) {
        TENPAK_RETURN_IF_ERROR(ctx.check());
        const std::span<std::byte> part(block.data(), std::min(kCopyBlock, h.data_bytes - at));
        TENPAK_RETURN_IF_ERROR(read_data(at, part));
        TENPAK_RETURN_IF_ERROR(out.write(part));
        ctx.report({"write", at + part.size(), h.data_bytes, "bytes", path.filename().string()});
    }
    TENPAK_RETURN_IF_ERROR(out.write(tail));
    TENPAK_RETURN_IF_ERROR(read_back(out.temporary(), path, accept, ctx));
    return out.commit();
}

Status complete_directory_form(const fs::path& folder, const std::string& text, const Signatures& signatures, const Accept& accept,
                               const JobContext& ctx) {
    TENPAK_RETURN_IF_ERROR(write_file_atomic(folder / "manifest.json", as_bytes(text)));
    for (const auto& [name, bytes] : signatures) TENPAK_RETURN_IF_ERROR(write_file_atomic(folder / name, bytes));
    TENPAK_RETURN_IF_ERROR(write_file_atomic(folder / kSumsName, as_bytes(sums_text(text, signatures))));
    return read_back(folder, folder, accept, ctx);
}

std::string timestamp() {
    std::time_t t = std::time(nullptr);
    if (const char* epoch = std::getenv("SOURCE_DATE_EPOCH")) {
        std::int64_t v = 0;
        const char* end = epoch + std::strlen(epoch);
        if (const auto [p, ec] = std::from_chars(epoch, end, v); ec == std::errc() && p == end && v >= 0 && v < 253402300800) t = v;
    }
    std::tm tm{};
    gmtime_r(&t, &tm);
    char s[32];
    std::strftime(s, sizeof s, "%Y-%m-%dT%H:%M:%SZ", &tm);
    return s;
}

}  // namespace tenpak::artifact

// SPDX-License-Identifier: Apache-2.0
#include <fcntl.h>
#include <linux/fs.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <random>

#include "core/artifact/artifact.h"
#include "core/artifact/assemble.h"
#include "core/artifact/layout.h"

namespace tenpak {
namespace {

using namespace artifact;

Status copy_file(const fs::path& from, const fs::path& to, const JobContext& ctx) {
    TENPAK_ASSIGN(const File in, File::open(from));
    TENPAK_ASSIGN(AtomicFile out, AtomicFile::create(to));
    Bytes block(std::min<std::uint64_t>(in.size(), 4u << 20));
    for (std::uint64_t at = 0; at < in.size(); at += block.size()) {
        TENPAK_RETURN_IF_ERROR(ctx.check());
        const auto part = std::span(block).first(std::min<std::uint64_t>(block.size(), in.size() - at));
        TENPAK_RETURN_IF_ERROR(in.read_at(at, part));
        TENPAK_RETURN_IF_ERROR(out.write(part));
    }
    return out.commit();
}

/// Puts the folder `fresh` where `old` is and removes what was there. Atomic where the file system can exchange names;
/// otherwise there is a moment without either, in which the old one lies beside under the fresh one's name plus ".old".
Status exchange_folders(const fs::path& fresh, const fs::path& old) {
    std::error_code ec;
    if (renameat2(AT_FDCWD, fresh.c_str(), AT_FDCWD, old.c_str(), RENAME_EXCHANGE) == 0) {
        fs::remove_all(fresh, ec);
    } else {
        if (errno != EINVAL && errno != ENOSYS) return errno_error("cannot rename into place", old.string(), errno);
        fs::path aside = fresh;
        aside += ".old";
        if (::rename(old.c_str(), aside.c_str()) != 0) return errno_error("cannot rename", old.string(), errno);
        if (::rename(fresh.c_str(), old.c_str()) != 0) {
            const int e = errno;
            if (::rename(aside.c_str(), old.c_str()) != 0) return errno_error("cannot rename back from " + aside.string(), old.string(), errno);
            return errno_error("cannot rename into place", old.string(), e);
        }
        fs::remove_all(aside, ec);
    }
    return fsync_directory(old.has_parent_path() ? old.parent_path() : fs::path("."));
}

Status replace_in_folder(const fs::path& path, const Manifest& m, const std::string& text, const Signatures& signatures, const JobContext& ctx) {
    fs::path fresh = path;
    fresh += ".signing-" + std::to_string(getpid()) + "-" + std::to_string(std::random_device{}());
    TENPAK_ASSIGN(AtomicDirectory out, AtomicDirectory::create(fresh));
    std::error_code ec;
    if (!fs::create_directory(out.path() / "chunks", ec)) return errno_error("cannot create folder", fresh.string(), ec.value());
    for (std::size_t i = 0; i < m.packs.size(); ++i) {
        // The packs stay as they are: a second name for the same file, where the file system has that.
        fs::create_hard_link(path / pack_name(i), out.path() / pack_name(i), ec);
        if (ec) TENPAK_RETURN_IF_ERROR(copy_file(path / pack_name(i), out.path() / pack_name(i), ctx));
    }
    TENPAK_RETURN_IF_ERROR(complete_directory_form(out.path(), text, signatures, {}, ctx));
    TENPAK_RETURN_IF_ERROR(out.commit());
    const Status s = exchange_folders(fresh, path);
    if (!s.ok()) fs::remove_all(fresh, ec);
    return s;
}

}  // namespace

Status replace_signature(const fs::path& artifact, const std::string& scheme, const ArtifactWriter::Signer& signer, const JobContext& ctx) {
    try {
        std::error_code ec;
        fs::path path = fs::canonical(artifact, ec);  // a link to an artifact stays a link
        if (ec) path = artifact;
        TENPAK_ASSIGN(const auto old, Artifact::open(path));
        // An artifact that is damaged is not signed: the signature would vouch for what nobody made.
        if (auto intact = old->check_intact(ctx); !intact.ok()) return std::move(intact).error();
        TENPAK_ASSIGN(Manifest m, parse_manifest(old->manifest_bytes(), path.string()));
        m.signature_scheme = scheme;
        TENPAK_ASSIGN(const std::string text, encode_manifest(m));
        TENPAK_ASSIGN(const Signatures signatures, make_signatures(m, text, signer));
        if (old->is_directory()) return replace_in_folder(path, m, text, signatures, ctx);
        TENPAK_ASSIGN(const File file, File::open(path));
        Bytes head(kHeaderBytes);
        TENPAK_RETURN_IF_ERROR(file.read_at(0, head));
        TENPAK_ASSIGN(const Header h, decode_header(head, file.size(), true, path.string()));
        const auto read = [&](std::uint64_t offset, std::span<std::byte> out) { return file.read_at(h.data_offset + offset, out); };
        return write_file_form(path, m, text, signatures, read, {}, ctx);
    } catch (const std::bad_alloc&) {
        return make_error(ErrorCode::kOutOfMemory, "not enough memory to sign the artifact", artifact.string());
    } catch (const std::exception& e) {
        return make_error(ErrorCode::kIo, std::string("cannot sign the artifact: ") + e.what(), artifact.string());
    }
}

}  // namespace tenpak

// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <map>
#include <set>

#include "core/artifact/artifact.h"
#include "core/artifact/layout.h"
#include "core/artifact/manifest.h"
#include "core/artifact/sums.h"

namespace tenpak {
namespace {

using namespace artifact;

/// Beyond this many packs they are opened for each read, so that no artifact can use up the process' files.
constexpr std::size_t kMaxOpenPacks = 256;
const char* const kGetAgain = "The artifact is damaged: get it again";

class Reader final : public Artifact {
   public:
    fs::path path_;
    bool directory_ = false;
    Manifest manifest_;
    std::string manifest_text_;
    std::map<std::string, Bytes, std::less<>> signatures_;
    std::uint64_t stored_ = 0, raw_ = 0, data_offset_ = 0;
    std::vector<File> files_;                ///< the one file, or the packs
    std::vector<std::uint64_t> pack_begin_;  ///< offsets of the packs in the data area, and its end

    const ModelRecord& model() const override { return manifest_.model; }
    const std::vector<FileRecord>& files() const override { return manifest_.files; }
    const std::vector<BlockInfo>& blocks() const override { return manifest_.blocks; }
    const fs::path& path() const override { return path_; }
    bool is_directory() const override { return directory_; }
    std::uint64_t stored_bytes() const override { return stored_; }
    std::uint64_t raw_bytes() const override { return raw_; }
    std::string_view manifest_bytes() const override { return manifest_text_; }
    const std::string& created() const override { return manifest_.created; }
    std::string signature_scheme() const override { return manifest_.signature_scheme; }
    Result<Bytes> read_signature(std::string_view name) const override {
        const auto it = signatures_.find(name);
        if (it == signatures_.end()) return make_error(ErrorCode::kNotFound, "the artifact has no " + std::string(name), path_.string());
        return it->second;
    }
    Result<Bytes> read_block(BlockId id) const override;
    Result<Intact> check_intact(const JobContext& ctx) const override;

    Status open_file(const File& file);
    Status open_directory();
    Status adopt_manifest(std::string text, const std::string& where);

   private:
    Status read_data(std::uint64_t offset, std::span<std::byte> out) const;
    Status check_extra_files() const;
};

Status Reader::adopt_manifest(std::string text, const std::string& where) {
    TENPAK_ASSIGN(manifest_, parse_manifest(text, where));
    manifest_text_ = std::move(text);
    // The manifest says whether there is a signature: one that was taken away or put beside is noticed without any key.
    if ((manifest_.signature_scheme == "none") != signatures_.empty() || (!signatures_.empty() && !signatures_.contains("signature.sig"))) {
        return make_error(ErrorCode::kSignature, signatures_.empty() ? "the signature that the manifest names is missing" : "there is a signature that the manifest does not name",
                          path_.string(), "Get the artifact from its publisher");
    }
    pack_begin_.push_back(0);
    for (const std::uint64_t p : manifest_.packs) pack_begin_.push_back(pack_begin_.back() + p);
    for (const FileRecord& f : manifest_.files) raw_ += f.size;
    return {};
}

Status Reader::open_file(const File& file) {
    const std::string where = path_.string();
    Bytes head(std::min<std::uint64_t>(kHeaderBytes, file.size()));
    TENPAK_RETURN_IF_ERROR(file.read_at(0, head));
    TENPAK_ASSIGN(const Header h, decode_header(head, file.size(), path_.extension() == ".tnpk", where));
    Bytes frame(h.manifest_bytes);
    TENPAK_RETURN_IF_ERROR(file.read_at(kHeaderBytes, frame));
    if (sha256(frame) != h.manifest_sha256) {
        return make_error(ErrorCode::kIntegrity, "the manifest does not match its SHA-256", where, kGetAgain);
    }
    TENPAK_ASSIGN(std::string text, unpack_manifest(frame, where));
    Bytes gap(h.data_offset - kHeaderBytes - h.manifest_bytes), signatures(h.signature_bytes + h.model_signature_bytes);
    TENPAK_RETURN_IF_ERROR(file.read_at(kHeaderBytes + h.manifest_bytes, gap));
    if (std::any_of(gap.begin(), gap.end(), [](std::byte b) { return b != std::byte{0}; })) {
        return make_error(ErrorCode::kIntegrity, "the gap behind the manifest is not zero", where, kGetAgain);
    }
    TENPAK_RETURN_IF_ERROR(file.read_at(h.data_offset + h.data_bytes, signatures));
    if (sha256(signatures) != h.signatures_sha256) {
        return make_error(ErrorCode::kIntegrity, "the signatures do not match their SHA-256", where, kGetAgain);
    }
    const auto cut = signatures.begin() + static_cast<std::ptrdiff_t>(h.signature_bytes);
    if (h.signature_bytes > 0) signatures_.emplace("signature.sig", Bytes(signatures.begin(), cut));
    if (h.model_signature_bytes > 0) signatures_.emplace("model.sig", Bytes(cut, signatures.end()));
    TENPAK_RETURN_IF_ERROR(adopt_manifest(std::move(text), where));
    const std::uint64_t behind = kHeaderBytes + h.manifest_bytes;
    if (manifest_.data_bytes() != h.data_bytes || h.data_offset != (manifest_.has_aligned() ? align_page(behind) : behind)) {
        return make_error(ErrorCode::kMalformed, "header and manifest disagree about the data area", where);
    }
    data_offset_ = h.data_offset;
    stored_ = file.size();
    return {};
}

Status Reader::open_directory() {
    const std::string where = path_.string();
    const auto damaged = [&](std::string what) { return make_error(ErrorCode::kIntegrity, std::move(what), where, kGetAgain); };
    TENPAK_ASSIGN(std::string text, read_text_file(path_ / "manifest.json", kMaxManifest));
    std::error_code ec;
    for (const char* name : {"signature.sig", "model.sig"}) {
        if (!fs::exists(path_ / name, ec)) continue;
        TENPAK_ASSIGN(Bytes b, read_file(path_ / name, kMaxSignature));
        signatures_.emplace(name, std::move(b));
    }
    const auto sums = read_text_file(path_ / kSumsName, 4096);
    if (!sums.ok()) return damaged(std::string(kSumsName) + " cannot be read: " + sums.error().what);
    if (*sums != sums_text(text, signatures_)) return damaged("manifest or signatures do not match " + std::string(kSumsName));
    stored_ = text.size() + sums->size();
    for (const auto& [name, bytes] : signatures_) stored_ += bytes.size();
    TENPAK_RETURN_IF_ERROR(adopt_manifest(std::move(text), (path_ / "manifest.json").string()));
    for (std::size_t i = 0; i < manifest_.packs.size(); ++i) {
        const auto file = File::open(path_ / pack_name(i));
        if (!file.ok()) return damaged(pack_name(i) + " cannot be read: " + file.error().what);
        if (file->size() != manifest_.packs[i]) {
            return damaged(pack_name(i) + " has " + std::to_string(file->size()) + " bytes, the manifest declares " + std::to_string(manifest_.packs[i]));
        }
        stored_ += file->size();
    }
    if (manifest_.packs.size() <= kMaxOpenPacks) {
        for (std::size_t i = 0; i < manifest_.packs.size(); ++i) {
            TENPAK_ASSIGN(File f, File::open(path_ / pack_name(i)));
            files_.push_back(std::move(f));
        }
    }
    return {};
}

Status Reader::read_data(std::uint64_t offset, std::span<std::byte> out) const {
    if (!directory_) return files_[0].read_at(data_offset_ + offset, out);
    while (!out.empty()) {
        const auto pack = static_cast<std::size_t>(std::upper_bound(pack_begin_.begin(), pack_begin_.end(), offset) - pack_begin_.begin() - 1);
        const std::uint64_t here = std::min<std::uint64_t>(out.size(), pack_begin_[pack + 1] - offset);
        if (pack < files_.size()) {
            TENPAK_RETURN_IF_ERROR(files_[pack].read_at(offset - pack_begin_[pack], out.first(here)));
        } else {
            TENPAK_ASSIGN(const File f, File::open(path_ / pack_name(pack)));
            TENPAK_RETURN_IF_ERROR(f.read_at(offset - pack_begin_[pack], out.first(here)));
        }
        offset += here;
        out = out.subspan(here);
    }
    return {};
}

Result<Bytes> Reader::read_block(BlockId id) const {
    if (id >= manifest_.blocks.size()) return make_error(ErrorCode::kInvalidArgument, "no chunk " + std::to_string(id), path_.string());
    const BlockInfo& b = manifest_.blocks[id];
    const std::uint64_t end_before = id == 0 ? 0 : manifest_.offsets[id - 1] + manifest_.blocks[id - 1].stored_size;
    // The gap in front is read with the block: bytes that nothing else covers must be zero.
    const std::uint64_t gap = manifest_.offsets[id] - end_before;
    const auto where = [&] {
        return path_.string() + ", chunk " + std::to_string(id) + " (" + b.name.substr(0, 200) + "), bytes " + std::to_string(manifest_.offsets[id]) + " to " +
               std::to_string(manifest_.offsets[id] + b.stored_size) + " of the data";
    };
    try {
        Bytes bytes(gap + b.stored_size);
        if (Status s = read_data(end_before, bytes); !s.ok()) {
            if (s.error().code != ErrorCode::kMalformed) return std::move(s).error();
            return make_error(ErrorCode::kIntegrity, "the artifact ends early", where(), kGetAgain);
        }
        const auto data = bytes.begin() + static_cast<std::ptrdiff_t>(gap);
        if (std::any_of(bytes.begin(), data, [](std::byte v) { return v != std::byte{0}; })) {
            return make_error(ErrorCode::kIntegrity, "the gap in front of a chunk is not zero", where(), kGetAgain);
        }
        if (sha256(std::span(bytes).subspan(gap)) != b.stored_sha256) {
            return make_error(ErrorCode::kIntegrity, "a chunk does not match its SHA-256", where(), kGetAgain);
        }
        if (gap > 0) bytes.erase(bytes.begin(), data);
        return bytes;
    } catch (const std::bad_alloc&) {
        return make_error(ErrorCode::kOutOfMemory, "not enough memory for a chunk", where());
    }
}

Status Reader::check_extra_files() const {
    std::set<std::string> expected{"manifest.json", std::string(kSumsName), "chunks"};
    for (const auto& [name, bytes] : signatures_) expected.insert(name);
    for (std::size_t i = 0; i < manifest_.packs.size(); ++i) expected.insert(pack_name(i));
    for (const std::string& folder : {std::string(), std::string("chunks/")}) {
        std::error_code ec;
        for (fs::directory_iterator it(path_ / folder, ec), end; !ec && it != end; it.increment(ec)) {
            const std::string name = folder + it->path().filename().string();
            if (expected.contains(name)) continue;
            return make_error(ErrorCode::kIntegrity, "a file that is no part of the artifact", (path_ / name).string(), "Remove it, or get the artifact again");
        }
        if (ec && !(folder == "chunks/" && manifest_.packs.empty())) return errno_error("cannot read the folder", (path_ / folder).string(), ec.value());
    }
    return {};
}

Result<Artifact::Intact> Reader::check_intact(const JobContext& ctx) const {
    Intact n;
    n.files = manifest_.files.size();
    n.bytes = stored_ - manifest_.data_bytes();
    if (directory_) TENPAK_RETURN_IF_ERROR(check_extra_files());
    for (BlockId id = 0; id < manifest_.blocks.size(); ++id) {
        TENPAK_RETURN_IF_ERROR(ctx.check());
        TENPAK_ASSIGN(const Bytes b, read_block(id));
        ++n.chunks;
        n.bytes = stored_ - manifest_.data_bytes() + manifest_.offsets[id] + b.size();
        ctx.report({"verify", n.bytes, stored_, "bytes", manifest_.blocks[id].name});
    }
    return n;
}

}  // namespace

Result<std::shared_ptr<const Artifact>> Artifact::open(const fs::path& path) {
    try {
        std::error_code ec;
        auto r = std::make_shared<Reader>();
        r->path_ = path;
        if (fs::is_directory(path, ec)) {
            if (!fs::exists(path / "manifest.json", ec)) {
                const bool ours = path.extension() == ".tnpk" || fs::exists(path / kSumsName, ec);
                return make_error(ours ? ErrorCode::kIntegrity : ErrorCode::kUnsupported, "no manifest.json in this folder", path.string(),
                                  ours ? kGetAgain : "Choose a .tnpk file or folder");
            }
            r->directory_ = true;
            TENPAK_RETURN_IF_ERROR(r->open_directory());
        } else {
            TENPAK_ASSIGN(File file, File::open(path));
            TENPAK_RETURN_IF_ERROR(r->open_file(file));
            r->files_.push_back(std::move(file));
        }
        return std::shared_ptr<const Artifact>(std::move(r));
    } catch (const std::bad_alloc&) {
        return make_error(ErrorCode::kOutOfMemory, "not enough memory to open the artifact", path.string());
    } catch (const std::exception& e) {
        return make_error(ErrorCode::kIo, std::string("cannot open the artifact: ") + e.what(), path.string());
    }
}

bool looks_like_artifact(const fs::path& path) {
    std::error_code ec;
    if (path.extension() == ".tnpk") return true;
    if (fs::is_directory(path, ec)) return fs::exists(path / "manifest.json", ec) && (fs::exists(path / kSumsName, ec) || fs::exists(path / "chunks", ec));
    const auto file = File::open(path);
    Bytes head(8);
    return file.ok() && file->size() >= head.size() && file->read_at(0, head).ok() && has_magic(head);
}

}  // namespace tenpak

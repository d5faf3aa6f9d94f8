// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <optional>
#include <tuple>

#include "core/artifact/artifact.h"
#include "core/artifact/assemble.h"
#include "core/artifact/layout.h"
#include "core/artifact/sums.h"

namespace tenpak {
namespace {

using namespace artifact;

/// Where the data area goes while blocks come in: one temporary file beside the output (the single file's header and
/// manifest stand in front of the data and are known last), or the packs of the new folder themselves.
class DataArea {
   public:
    Status open(const fs::path& path, ArtifactForm form) {
        if (form == ArtifactForm::kFile) {
            std::error_code ec;
            if (fs::is_directory(path, ec)) return make_error(ErrorCode::kInvalidArgument, "the output is a folder", path.string(), "Give a file name");
            fs::path data = path;
            data += ".data";
            TENPAK_ASSIGN(file_, AtomicFile::create(data));
            return {};
        }
        TENPAK_ASSIGN(directory_, AtomicDirectory::create(path));
        std::error_code ec;
        if (!fs::create_directory(directory_->path() / "chunks", ec)) return errno_error("cannot create folder", path.string(), ec.value());
        return {};
    }
    /// Appends at `offset`, which is at or a little behind the end: the gap is filled with zeros, and belongs to the pack
    /// before where a new one begins.
    Status append(std::uint64_t offset, std::size_t pack, std::span<const std::byte> data) {
        if (data.empty()) return {};
        if (file_ && end_ < offset) TENPAK_RETURN_IF_ERROR(file_->write(Bytes(offset - end_)));
        else if (end_ < offset) TENPAK_RETURN_IF_ERROR(pack_file_->write(Bytes(offset - end_)));
        if (directory_ && (!pack_file_ || pack != pack_)) {
            TENPAK_RETURN_IF_ERROR(close_pack());
            TENPAK_ASSIGN(pack_file_, AtomicFile::create(directory_->path() / pack_name(pack)));
            pack_ = pack;
        }
        TENPAK_RETURN_IF_ERROR((file_ ? *file_ : *pack_file_).write(data));
        end_ = offset + data.size();
        return {};
    }
    Status close_pack() {
        if (!pack_file_) return {};
        Status s = pack_file_->commit();
        pack_file_.reset();
        return s;
    }
    const AtomicFile& file() const { return *file_; }
    AtomicDirectory& directory() { return *directory_; }

   private:
    std::optional<AtomicFile> file_, pack_file_;
    std::optional<AtomicDirectory> directory_;
    std::size_t pack_ = 0;
    std::uint64_t end_ = 0;
};

class Writer final : public ArtifactWriter {
   public:
    Writer(fs::path path, ArtifactOptions options) : path_(std::move(path)), options_(std::move(options)) {}
    Status open() {
        fs::path data = path_;
        data += ".data";
        remove_stale_temporaries(path_);
        remove_stale_temporaries(data);
        return data_.open(path_, options_.form);
    }

    Result<BlockId> add_block(const BlockInfo& info, std::span<const std::byte> stored) override {
        if (info.stored_size != stored.size()) return make_error(ErrorCode::kInvalidArgument, "a block's stored size is not that of its bytes", info.name);
        std::string base;
        for (const BaseRange& r : info.base)
            base += r.tensor + '\0' + std::to_string(r.offset) + '\0' + std::to_string(r.size) + (r.in_file ? "\0file" : "") + '\0';
        base += info.transform + '\0' + (info.factors ? std::to_string(*info.factors) + '\0' + std::to_string(info.factors_weight) : "");
        const auto [it, is_new] = known_.try_emplace({info.raw_sha256, info.codec, base}, static_cast<BlockId>(manifest_.blocks.size()));
        if (!is_new) return it->second;
        if (manifest_.blocks.size() >= kMaxChunks) return make_error(ErrorCode::kUnsupported, "more than 1,000,000 chunks", path_.string());
        TENPAK_ASSIGN(const std::uint64_t offset, placement_.place(info.codec, stored.size()));
        TENPAK_RETURN_IF_ERROR(data_.append(offset, std::max<std::size_t>(placement_.packs().size(), 1) - 1, stored));
        manifest_.blocks.push_back(info);
        manifest_.offsets.push_back(offset);
        stored_ = placement_.end();
        return it->second;
    }
    Status add_file(FileRecord file) override {
        manifest_.files.push_back(std::move(file));
        return {};
    }
    Status set_model(ModelRecord model) override {
        manifest_.model = std::move(model);
        return {};
    }
    Result<std::shared_ptr<const Artifact>> finish(const Signer& signer, const JobContext& ctx) override {
        if (finished_) return make_error(ErrorCode::kInternal, "an artifact is finished once", path_.string());
        finished_ = true;
        manifest_.created = timestamp();
        manifest_.signature_scheme = options_.signature_scheme;
        manifest_.packs = placement_.packs();
        std::sort(manifest_.files.begin(), manifest_.files.end(), [](const FileRecord& a, const FileRecord& b) { return a.path < b.path; });
        TENPAK_ASSIGN(const std::string text, encode_manifest(manifest_));
        TENPAK_ASSIGN(const Signatures signatures, make_signatures(manifest_, text, signer));
        if (options_.form == ArtifactForm::kFile) {
            const auto read = [&](std::uint64_t offset, std::span<std::byte> out) { return data_.file().read_at(offset, out); };
            TENPAK_RETURN_IF_ERROR(write_file_form(path_, manifest_, text, signatures, read, options_.accept, ctx));
        } else {
            TENPAK_RETURN_IF_ERROR(data_.close_pack());
            TENPAK_RETURN_IF_ERROR(complete_directory_form(data_.directory().path(), text, signatures, options_.accept, ctx));
            TENPAK_RETURN_IF_ERROR(data_.directory().commit());
        }
        TENPAK_ASSIGN(auto artifact, Artifact::open(path_));
        stored_ = artifact->stored_bytes();
        return artifact;
    }

   private:
    fs::path path_;
    ArtifactOptions options_;
    DataArea data_;
    Placement placement_;
    Manifest manifest_;
    std::map<std::tuple<Digest, std::string, std::string>, BlockId> known_;
    bool finished_ = false;
};

}  // namespace

Result<std::unique_ptr<ArtifactWriter>> ArtifactWriter::create(const fs::path& path, const ArtifactOptions& options) {
    try {
        auto w = std::make_unique<Writer>(path, options);
        TENPAK_RETURN_IF_ERROR(w->open());
        return std::unique_ptr<ArtifactWriter>(std::move(w));
    } catch (const std::exception& e) {
        return make_error(ErrorCode::kIo, std::string("cannot create the artifact: ") + e.what(), path.string());
    }
}

}  // namespace tenpak

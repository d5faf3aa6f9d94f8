// SPDX-License-Identifier: Apache-2.0
#include "core/artifact/artifact.h"

namespace tenpak {
namespace {

/// The artifact's blocks and files, and model.sig as one more raw block of one more file.
class WithModelSignature final : public BlockSource {
   public:
    WithModelSignature(std::shared_ptr<const Artifact> artifact, Bytes signature)
        : artifact_(std::move(artifact)), signature_(std::move(signature)), files_(artifact_->files()), blocks_(artifact_->blocks()) {
        BlockInfo b;
        b.name = "model.sig#0";
        b.codec = "raw";
        b.stored_size = b.raw_size = signature_.size();
        b.stored_sha256 = b.raw_sha256 = sha256(signature_);
        b.raw_xxh3 = xxh3_64(signature_);
        FileRecord f;
        f.path = "model.sig";
        f.size = signature_.size();
        f.sha256 = b.raw_sha256;
        f.blocks = {static_cast<BlockId>(blocks_.size())};
        files_.push_back(std::move(f));
        blocks_.push_back(std::move(b));
    }
    const ModelRecord& model() const override { return artifact_->model(); }
    const std::vector<FileRecord>& files() const override { return files_; }
    const std::vector<BlockInfo>& blocks() const override { return blocks_; }
    Result<Bytes> read_block(BlockId id) const override {
        if (id + 1 == blocks_.size()) return signature_;
        return artifact_->read_block(id);
    }

   private:
    std::shared_ptr<const Artifact> artifact_;
    Bytes signature_;
    std::vector<FileRecord> files_;
    std::vector<BlockInfo> blocks_;
};

}  // namespace

Result<std::shared_ptr<const BlockSource>> unpacked_view(std::shared_ptr<const Artifact> artifact) {
    auto signature = artifact->read_signature("model.sig");
    if (!signature.ok()) {
        if (signature.error().code != ErrorCode::kNotFound) return std::move(signature).error();
        return std::shared_ptr<const BlockSource>(std::move(artifact));
    }
    for (const FileRecord& f : artifact->files()) {
        if (f.path != "model.sig") continue;
        return make_error(ErrorCode::kMalformed, "the model has a file model.sig of its own where its signature must go", artifact->path().string());
    }
    return std::shared_ptr<const BlockSource>(std::make_shared<WithModelSignature>(std::move(artifact), std::move(*signature)));
}

}  // namespace tenpak

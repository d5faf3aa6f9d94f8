// SPDX-License-Identifier: GPL-3.0-or-later
#include "app/write_artifact.h"

#include <chrono>

#include "core/delta/reconstruct.h"

namespace tenpak::app {
namespace {

/// Passes everything on and counts, tensor by tensor. Calls come from one thread (BlockSink).
class CountingSink : public BlockSink {
   public:
    CountingSink(BlockSink& next, std::string candidate, const std::function<void(const WriteProgress&)>& report)
        : next_(next), candidate_(std::move(candidate)), report_(report) {}

    Result<BlockId> add_block(const BlockInfo& info, std::span<const std::byte> stored) override {
        TENPAK_ASSIGN(const BlockId id, next_.add_block(info, stored));
        const bool shared = id < next_id_;  // found in the artifact already: costs nothing
        if (!shared) next_id_ = id + 1;
        const std::uint64_t bytes = shared ? 0 : stored.size();
        WrittenTensor& t = progress_.tensors[info.name.substr(0, info.name.rfind('#'))];
        t.raw_bytes += info.raw_size;
        t.stored_bytes += bytes;
        progress_.raw_bytes += info.raw_size;
        progress_.stored_bytes += bytes;
        const auto now = std::chrono::steady_clock::now();
        if (report_ && now - last_ >= std::chrono::milliseconds(100)) {
            last_ = now;
            report_(progress_);
        }
        return id;
    }
    Status add_file(FileRecord file) override { return next_.add_file(std::move(file)); }
    Status set_model(ModelRecord model) override {
        if (!candidate_.empty()) {
            model.lossless = false;  // the files come back bit by bit, but they are not the original's weights
            model.attestation["candidate"] = candidate_;
        }
        return next_.set_model(std::move(model));
    }

   private:
    BlockSink& next_;
    std::string candidate_;
    const std::function<void(const WriteProgress&)>& report_;
    WriteProgress progress_;
    BlockId next_id_ = 0;
    std::chrono::steady_clock::time_point last_{};
};

}  // namespace

Result<WriteOutcome> write_artifact(const WriteRequest& request, const FillSink& fill, const ModelSource* base,
                                    const std::function<void(const WriteProgress&)>& on_progress, const JobContext& ctx) {
    const bool sign = !request.key.private_key.empty() || !request.key.hmac_key.empty();
    ArtifactOptions options;
    options.form = request.folder ? ArtifactForm::kDirectory : ArtifactForm::kFile;
    ArtifactWriter::Signer signer;
    if (sign) {
        options.signature_scheme = signing::scheme_of(request.key);
        TENPAK_ASSIGN(signer, signing::make_signer(request.key, request.model_id));
    }
    WriteOutcome out;
    if (request.rebuild_and_compare) {
        // Before it is put in place: what does not rebuild, or was not seen to, never appears at `path`.
        options.accept = [&](const Artifact& written) -> Status {
            delta::ReconstructOptions rebuild;
            rebuild.verify = delta::Verify::kFull;
            TENPAK_ASSIGN(const auto report, delta::verify_rebuild(written, base, rebuild, ctx));
            out.files_compared = report.files;
            out.compare_seconds = report.seconds;
            return {};
        };
    }
    TENPAK_ASSIGN(auto writer, ArtifactWriter::create(request.path, options));
    CountingSink sink(*writer, request.candidate, on_progress);
    TENPAK_ASSIGN(out.report, fill(sink));
    TENPAK_ASSIGN(out.artifact, writer->finish(signer, ctx));
    return out;
}

}  // namespace tenpak::app

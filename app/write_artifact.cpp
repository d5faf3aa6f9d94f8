// SPDX-License-Identifier: GPL-3.0-or-later
#include "app/write_artifact.h"

#include <algorithm>
#include <chrono>
#include <numeric>

#include "core/delta/block_plan.h"
#include "core/delta/codec.h"
#include "core/delta/reconstruct.h"

namespace tenpak::app {
namespace {

/// Passes everything on and counts, tensor by tensor. Calls come from one thread (BlockSink).
class CountingSink : public BlockSink {
   public:
    CountingSink(BlockSink& next, const WriteRequest& request, const std::function<void(const WriteProgress&)>& report)
        : next_(next), candidate_(request.candidate), model_(request.model), report_(report) {
        if (!model_) return;
        const auto& tensors = model_->tensors();
        order_.resize(tensors.size());
        std::iota(order_.begin(), order_.end(), 0u);
        std::sort(order_.begin(), order_.end(), [&](auto a, auto b) { return std::tie(tensors[a].file, tensors[a].offset, a) < std::tie(tensors[b].file, tensors[b].offset, b); });
        for (std::size_t i = 0; i < order_.size(); ++i) place_[tensors[order_[i]].name] = i;
    }

    Result<BlockId> add_block(const BlockInfo& info, std::span<const std::byte> stored) override {
        TENPAK_ASSIGN(const BlockId id, next_.add_block(info, stored));
        const bool shared = id < next_id_;  // found in the artifact already: costs nothing
        if (!shared) next_id_ = id + 1;
        const std::uint64_t bytes = shared ? 0 : stored.size();
        count(info, bytes);
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
    void count(const BlockInfo& info, std::uint64_t bytes) {
        delta::BlockOwner owner = delta::block_owner(info.name);
        // Factors are no part of the file: they only cost.
        if (owner.factors) {
            progress_.tensors[std::string(owner.name)].stored_bytes += bytes;
            return;
        }
        progress_.raw_bytes += info.raw_size;
        const std::string whole = info.name.substr(0, info.name.rfind('#'));
        const std::string method = delta::method_of(info);
        const auto first = place_.find(owner.name);
        if (owner.more == 0 || place_.contains(whole) || first == place_.end()) {
            add(owner.more > 0 && place_.contains(whole) ? whole : std::string(owner.name), info.raw_size, bytes, method);
            return;
        }
        std::uint64_t before = 0;
        std::uint32_t left = owner.more + 1;
        for (std::size_t i = first->second; i < order_.size() && left > 0; ++i) {
            const TensorInfo& t = model_->tensors()[order_[i]];
            if (t.bytes == 0) continue;  // lies in no block
            --left;
            const std::uint64_t after = std::min(before + t.bytes, info.raw_size);
            if (info.raw_size > 0) add(t.name, after - before, bytes * after / info.raw_size - bytes * before / info.raw_size, method);
            before = after;
        }
    }
    void add(const std::string& tensor, std::uint64_t raw, std::uint64_t stored, const std::string& method) {
        WrittenTensor& t = progress_.tensors[tensor];
        t.raw_bytes += raw;
        t.stored_bytes += stored;
        t.methods[method] += raw;
    }

    BlockSink& next_;
    std::string candidate_;
    std::shared_ptr<const ModelDirectory> model_;
    std::vector<std::uint32_t> order_;  // of the model's tensors, as they lie in its files
    std::map<std::string, std::size_t, std::less<>> place_;  // tensor -> its place in order_
    const std::function<void(const WriteProgress&)>& report_;
    WriteProgress progress_;
    BlockId next_id_ = 0;
    std::chrono::steady_clock::time_point last_{};
};

}  // namespace

std::string WrittenTensor::method() const {
    const auto most = std::max_element(methods.begin(), methods.end(), [](const auto& a, const auto& b) { return a.second < b.second; });
    return most != methods.end() ? most->first : std::string();
}

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
    CountingSink sink(*writer, request, on_progress);
    TENPAK_ASSIGN(out.report, fill(sink));
    TENPAK_ASSIGN(out.artifact, writer->finish(signer, ctx));
    return out;
}

}  // namespace tenpak::app

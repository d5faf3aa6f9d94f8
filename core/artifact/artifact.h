// SPDX-License-Identifier: Apache-2.0
// A .tnpk artifact, as one file or as a folder (format page: FORMAT.md). Opening reads and checks the manifest; every
// stored block is checked against its SHA-256 when read. Thread-safe after opening.
#pragma once
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "core/base/block_stream.h"
#include "core/base/job_context.h"
#include "core/delta/compress.h"
#include "core/tensor/model_source.h"

namespace tenpak {

class Artifact : public BlockSource {
   public:
    /// kMalformed / kIntegrity for a damaged header or manifest, kUnsupported for a newer version.
    static Result<std::shared_ptr<const Artifact>> open(const fs::path& path);

    const ModelRecord& model() const override = 0;
    const std::vector<FileRecord>& files() const override = 0;
    const std::vector<BlockInfo>& blocks() const override = 0;
    Result<Bytes> read_block(BlockId id) const override = 0;

    virtual const fs::path& path() const = 0;
    virtual bool is_directory() const = 0;
    virtual std::uint64_t stored_bytes() const = 0;               ///< whole artifact on disk, signatures included
    virtual std::uint64_t raw_bytes() const = 0;                  ///< all files after unpack
    virtual std::string_view manifest_bytes() const = 0;          ///< exactly what is signed
    virtual const std::string& created() const = 0;               ///< RFC 3339
    virtual std::string signature_scheme() const = 0;             ///< "none", "ecdsa-p256", "hmac-sha256", as the manifest says
    virtual Result<Bytes> read_signature(std::string_view name) const = 0;  ///< "signature.sig" or "model.sig"; kNotFound

    /// Blocks whose tensor lies in `part`: "embeddings", "layers.5", "norm", "head", "other" (tensor_part()), "files" (side
    /// files and safetensors headers), or a tensor's or file's own name, and the factors that they need. In stored order; kNotFound where there is none.
    Result<std::vector<BlockId>> part(std::string_view part) const;
    /// All tensors, in layer order, from the safetensors headers inside; needs no base.
    Result<std::vector<TensorInfo>> tensors() const;
    /// A file in whole, where no base is needed to decode it (side files never need one). kNotFound if there is none.
    Result<Bytes> read_side_file(std::string_view path) const;
    /// Decoded tensors of one part: name and bytes.
    Result<std::vector<std::pair<std::string, Bytes>>> load_chunk(std::string_view part, const ModelSource* base) const;
    /// Parts in streaming order, each decoded and handed over; returns when all are or `on_part` fails.
    Status stream_layers(const ModelSource* base, const std::function<Status(const std::string& part, const std::string& tensor, Bytes data)>& on_part,
                         const JobContext& ctx) const;
    /// Reads every stored byte and checks it: blocks, gaps, lengths. kIntegrity names the first block that differs.
    struct Intact {
        std::uint64_t files = 0, chunks = 0, bytes = 0;
    };
    virtual Result<Intact> check_intact(const JobContext& ctx) const = 0;
};

enum class ArtifactForm { kFile, kDirectory };
struct ArtifactOptions {
    ArtifactForm form = ArtifactForm::kFile;
    std::string signature_scheme = "none";  ///< goes into the manifest before signing: names scheme and file, never a value
    /// Called by finish() with the artifact as it was read back from disk, before it is put in place: an error leaves
    /// nothing there. For the rebuild that is compared (delta::verify_rebuild). May be empty.
    std::function<Status(const Artifact&)> accept = {};
};

/// A BlockSink that writes a .tnpk. Nothing is visible at `path` until finish(); dropped before, nothing is left.
class ArtifactWriter : public BlockSink {
   public:
    static Result<std::unique_ptr<ArtifactWriter>> create(const fs::path& path, const ArtifactOptions& options);
    /// Signs the finished manifest: gets its exact bytes and the model's files, returns signature files by name.
    using Signer = std::function<Result<std::vector<std::pair<std::string, Bytes>>>(std::string_view manifest, const std::vector<FileRecord>& files)>;
    /// Writes manifest and signatures and puts the artifact in place. Then it is read back whole and checked.
    virtual Result<std::shared_ptr<const Artifact>> finish(const Signer& signer, const JobContext& ctx) = 0;
    std::uint64_t stored_bytes() const { return stored_; }

   protected:
    std::uint64_t stored_ = 0;
};

/// Whether a path looks like an artifact of either form (by magic or manifest.json), without opening it in full.
bool looks_like_artifact(const fs::path& path);

/// MODEL of the command line: a directory, a .safetensors file or a .tnpk (with its base, where it needs one).
Result<std::shared_ptr<const ModelSource>> open_model(const fs::path& path, const fs::path& base = {});

/// The files of an artifact as they are after unpack: model.sig of a signed one is among them, so that
/// `model_signing verify` finds it. Unpack and reconstruct through this view.
Result<std::shared_ptr<const BlockSource>> unpacked_view(std::shared_ptr<const Artifact> artifact);

/// Writes the same chunks under a manifest with another signature, atomically in place of `artifact`. The new artifact is
/// read back whole before it replaces the old one. Both forms.
Status replace_signature(const fs::path& artifact, const std::string& scheme, const ArtifactWriter::Signer& signer, const JobContext& ctx);

/// What differs between two artifacts, by content.
struct ArtifactDiff {
    std::vector<std::string> only_a, only_b, changed;  ///< file paths
    std::uint64_t shared_blocks = 0, shared_bytes = 0, only_a_bytes = 0, only_b_bytes = 0;
    bool same_content = false;
};
ArtifactDiff diff(const Artifact& a, const Artifact& b);

}  // namespace tenpak

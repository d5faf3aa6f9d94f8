// SPDX-License-Identifier: Apache-2.0
// Where weights come from: a directory in Hugging Face layout, one .safetensors file, a .tnpk (core/artifact), a base
// plus a delta. Everything above reads tensors through this interface.
#pragma once
#include <memory>
#include <string>
#include <vector>

#include "core/base/error.h"
#include "core/base/file.h"
#include "core/base/hash.h"
#include "core/base/job_context.h"
#include "core/tensor/safetensors.h"

namespace tenpak {

/// Immutable after opening; all methods are thread-safe.
class ModelSource {
   public:
    virtual ~ModelSource() = default;
    /// What the user named: folder or file name.
    virtual const std::string& id() const = 0;
    /// All tensors, ordered by weight file, then offset. Names are unique over all files.
    virtual const std::vector<TensorInfo>& tensors() const = 0;
    const TensorInfo* find(std::string_view name) const;
    /// Fills `out` with the tensor's bytes from `byte_offset`. Reads positionally, never maps.
    virtual Status read(const TensorInfo& tensor, std::uint64_t byte_offset, std::span<std::byte> out) const = 0;
    /// Whole tensor as fp32, from bf16, fp16, fp32 or fp64. kUnsupported for other types.
    Result<std::vector<float>> read_float(const TensorInfo& tensor) const;
    /// A side file ("config.json") in whole; kNotFound if there is none.
    virtual Result<Bytes> read_side_file(std::string_view path) const = 0;
    std::uint64_t weight_bytes() const;
    std::uint64_t parameters() const;

   protected:
    void index_names();  ///< implementations call it once their tensor list is complete

   private:
    std::vector<std::uint32_t> by_name_;
};

/// A file of a model directory as it lies there.
struct ModelFile {
    std::string path;         ///< relative, '/' separators
    std::uint64_t size = 0;
    bool weights = false;     ///< a .safetensors file that is part of the model
    bool executable = false;
};

/// A directory in Hugging Face layout (model.safetensors, or shards with model.safetensors.index.json) or one
/// .safetensors file. Symbolic links of the hub cache are followed for files; links to folders are not entered.
/// Hidden files (".git", ".cache") and unfinished downloads are left out and listed in ignored().
class ModelDirectory : public ModelSource {
   public:
    /// kNotFound (no such path), kMalformed (a shard truncated or missing, index and shards disagree), kUnsupported (no
    /// .safetensors in it; says what it found instead).
    static Result<std::shared_ptr<const ModelDirectory>> open(const fs::path& path);

    const fs::path& path() const { return path_; }
    const std::string& id() const override { return id_; }
    const std::vector<TensorInfo>& tensors() const override { return tensors_; }
    Status read(const TensorInfo& tensor, std::uint64_t byte_offset, std::span<std::byte> out) const override;
    Result<Bytes> read_side_file(std::string_view path) const override;

    /// Every file, sorted by path: what a lossless copy must hold.
    const std::vector<ModelFile>& files() const { return files_; }
    const std::vector<std::string>& ignored() const { return ignored_; }
    /// Where a file of files() lies, for reading it positionally.
    fs::path file_path(const ModelFile& file) const { return root_ / file.path; }
    std::uint32_t weight_files() const { return static_cast<std::uint32_t>(weight_files_.size()); }
    /// Index into files() of weight file `TensorInfo::file`.
    std::size_t weight_file(std::uint32_t file) const { return weight_index_[file]; }
    const File& weight_handle(std::uint32_t file) const { return weight_files_[file]; }
    const SafetensorsHeader& weight_header(std::uint32_t file) const { return headers_[file]; }
    std::uint64_t total_bytes() const;  ///< of all files

   private:
    fs::path path_, root_;
    std::string id_;
    std::vector<TensorInfo> tensors_;
    std::vector<ModelFile> files_;
    std::vector<std::string> ignored_;
    std::vector<File> weight_files_;
    std::vector<SafetensorsHeader> headers_;
    std::vector<std::size_t> weight_index_;
};

/// SHA-256 of a tensor's data, read in blocks of bounded size.
Result<Digest> tensor_digest(const ModelSource& source, const TensorInfo& tensor, const JobContext& ctx);
/// Order in which a model's parts are stored and streamed: embeddings, layers 0..n, final norm, head, the rest by name.
std::vector<std::uint32_t> layer_order(const std::vector<TensorInfo>& tensors);
/// "model.layers.13.mlp.up_proj.weight" -> layer 13, projection "up_proj"; layer -1 where there is none.
struct TensorPlace {
    int layer = -1;
    std::string projection;
};
TensorPlace tensor_place(std::string_view name);
/// The part that a tensor is streamed with: "embeddings", "layers.N", "norm", "head" or "other".
std::string tensor_part(std::string_view name);

}  // namespace tenpak

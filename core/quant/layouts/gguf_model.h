// SPDX-License-Identifier: Apache-2.0
// A .gguf file seen as a Hugging Face model: config.json, tokenizer.json and tokenizer_config.json made of its values, its
// tensors under their Hugging Face names and in that order of rows. Quantized tensors read as fp32, exactly what their
// blocks stand for; those that the engine can keep packed, import_gguf() gives as they are.
#pragma once
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "core/compute/linear_weight.h"
#include "core/quant/layouts/gguf_names.h"
#include "core/tensor/gguf.h"
#include "core/tensor/model_source.h"

namespace tenpak::quant {

class GgufModel final : public ModelSource {
   public:
    /// A .gguf file, or a folder with one and no .safetensors. kUnsupported for an architecture, vocabulary or number format
    /// that is not known; a file that is one of several parts.
    static Result<std::shared_ptr<const GgufModel>> open(const fs::path& path);
    /// True for a path that open() is meant for.
    static bool is_gguf(const fs::path& path);

    const std::string& id() const override { return id_; }
    const std::vector<TensorInfo>& tensors() const override { return tensors_; }
    Status read(const TensorInfo& tensor, std::uint64_t byte_offset, std::span<std::byte> out) const override;
    Result<Bytes> read_side_file(std::string_view path) const override;
    static std::vector<std::string> side_files() { return {"config.json", "tokenizer.json", "tokenizer_config.json"}; }

    const GgufHeader& header() const { return header_; }
    /// How tensors()[index] lies in the file.
    struct Stored {
        std::size_t tensor = 0;  ///< index into header().tensors
        GgufRows rows;
        bool minus_one = false, transposed = false;
    };
    const Stored& stored(std::size_t index) const { return stored_[index]; }
    /// `tensor` is one of tensors().
    std::size_t index_of(const TensorInfo& tensor) const { return static_cast<std::size_t>(&tensor - tensors_.data()); }
    const GgufTensor& stored_tensor(const TensorInfo& tensor) const { return header_.tensors[stored_[index_of(tensor)].tensor]; }
    /// Row `hf_row` as it is stored: whole blocks of the tensor's type.
    Status read_stored_row(std::size_t index, std::uint32_t hf_row, std::span<std::byte> out) const;
    std::uint64_t stored_row_bytes(std::size_t index) const;

   private:
    explicit GgufModel(File file) : file_(std::move(file)) {}
    Status set_up();
    Status list_tensors(std::uint32_t heads, std::uint32_t kv_heads, std::uint32_t head_dim);
    Result<std::vector<float>> read_vector(std::string_view tensor) const;
    Status read_rows(std::size_t index, std::uint64_t byte_offset, std::span<std::byte> out) const;

    File file_;
    std::string id_;
    GgufHeader header_;
    const GgufFamily* family_ = nullptr;
    std::vector<TensorInfo> tensors_;
    std::vector<Stored> stored_;
    std::string config_;
    mutable std::mutex mutex_;  // of what is made when it is first asked for
    mutable std::map<std::string, std::string, std::less<>> made_;
};

}  // namespace tenpak::quant

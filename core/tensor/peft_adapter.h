// SPDX-License-Identifier: Apache-2.0
// LoRA adapters in the layout of Hugging Face PEFT: adapter_config.json and adapter_model.safetensors. Reading (hostile
// files are refused), merging into base weights as PEFT does, and writing. Layout: huggingface.co/docs/peft, "PEFT
// checkpoint format"; weights are named base_model.model.MODULE.lora_A.weight and .lora_B.weight.
#pragma once
#include <memory>
#include <string>
#include <vector>

#include "core/base/error.h"
#include "core/base/file.h"
#include "core/tensor/model_source.h"

namespace tenpak {

/// One adapted weight W[rows][columns] += scale * up[rows][rank] * down[rank][columns], whatever way it is stored.
struct LoraModule {
    std::string module;  ///< "model.layers.0.self_attn.q_proj"
    std::uint32_t rank = 0;
    double scale = 1;        ///< lora_alpha / rank, or / sqrt(rank) for rsLoRA
    bool embedding = false;  ///< lora_embedding_A and _B: the weight is (B A)^T
    DType dtype = DType::kF32;
    TensorInfo a, b;
};
/// A module of an adapter and the weight of a base that it belongs to.
struct LoraTarget {
    std::uint32_t module = 0;             ///< index into PeftAdapter::modules()
    std::uint32_t tensor = 0;             ///< index into the base's tensors()
    bool transposed = false;              ///< the weight is stored as (inputs, outputs): (B A)^T is added
    std::uint32_t rows = 0, columns = 0;  ///< of the stored weight, (shape[0], rest)
};
/// The factors of one module, for the stored orientation of the weight.
struct LoraMatrices {
    std::uint32_t rows = 0, columns = 0, rank = 0;
    double scale = 1;
    DType dtype = DType::kF32;  ///< of the stored factors: a 16-bit one means that PEFT rounds the product to it
    std::vector<float> up;      ///< [rows][rank]
    std::vector<float> down;    ///< [rank][columns]
};

class PeftAdapter {
 public:
    /// Whether the folder looks like an adapter (has adapter_config.json).
    static bool is_adapter(const fs::path& dir);
    /// kNotFound, kMalformed, or kUnsupported with the feature's name (DoRA, other methods than LoRA, pickled weights,
    /// …).
    static Result<std::shared_ptr<const PeftAdapter>> open(const fs::path& dir);

    const fs::path& path() const { return path_; }
    /// As the config says; may be empty. Data, never a path to follow.
    const std::string& base_model() const { return base_model_; }
    const std::vector<LoraModule>& modules() const { return modules_; }
    /// Whole tensors that replace the base's (modules_to_save): name in the base, and where they lie here.
    struct Replacement {
        std::string name;
        TensorInfo tensor;
    };
    const std::vector<Replacement>& replacements() const { return replacements_; }
    const ModelDirectory& files() const { return *files_; }

    /// Finds each module's weight in the base: by its name, or by the only name that ends in it. kMismatch names the
    /// first module without a weight or with other dimensions.
    Result<std::vector<LoraTarget>> match(const ModelSource& base) const;
    Result<LoraMatrices> load(const LoraTarget& target) const;

 private:
    fs::path path_;
    std::string base_model_;
    bool fan_in_fan_out_ = false;
    std::vector<LoraModule> modules_;
    std::vector<Replacement> replacements_;
    std::shared_ptr<const ModelDirectory> files_;
};

/// Merges into `weights`, which hold elements from `first` of the matrix (row-major) in `dtype`, as PEFT's merge does:
/// product in fp32, times the scale, rounded to the factors' type if that has 16 bits, added in fp32, rounded. The
/// order of the fp32 sums over the rank is ascending; PyTorch's may differ, so that a product can differ in its last
/// bit. kUnsupported for types other than bf16, fp16 and fp32.
Status merge_lora(const LoraMatrices& lora, DType dtype, std::uint64_t first, std::span<std::byte> weights);
/// The base with the adapter merged in: tensors are the base's, read() merges. Keeps base and adapter alive.
Result<std::shared_ptr<const ModelSource>> open_merged(std::shared_ptr<const ModelSource> base,
                                                       std::shared_ptr<const PeftAdapter> adapter);

/// One module to write: product up * down of the weight `tensor` ("model.layers.0.self_attn.q_proj.weight").
struct LoraToWrite {
    std::string tensor;
    std::uint32_t rows = 0, columns = 0, rank = 0;
    std::vector<float> up;    ///< [rows][rank]
    std::vector<float> down;  ///< [rank][columns]
};
/// Writes an adapter folder that PEFT loads; alpha = rank, so that the product is added as it is. Modules of other
/// ranks than the most frequent one stand in rank_pattern and alpha_pattern. `dtype` is fp32 or bf16 (which rounds the
/// factors). kInvalidArgument for names that do not end in ".weight".
Status write_peft_adapter(const fs::path& dir, const std::vector<LoraToWrite>& modules, const std::string& base_model,
                          DType dtype);

}  // namespace tenpak

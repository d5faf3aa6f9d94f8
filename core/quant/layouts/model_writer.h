// SPDX-License-Identifier: Apache-2.0
// What the layouts of Hugging Face directories share: which tensors go where, shards, side files, config.json.
#pragma once
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "core/base/json.h"
#include "core/quant/export_layout.h"

namespace tenpak::quant {

/// A tensor of the output: what it is, and how to make its bytes when its shard is written.
struct PlannedTensor {
    std::string name;
    DType dtype = DType::kBF16;
    std::vector<std::uint64_t> shape;
    std::function<Result<Bytes>()> make;
    std::uint64_t bytes() const {
        std::uint64_t n = dtype_bits(dtype) / 8;
        for (const std::uint64_t d : shape) n *= d;
        return n;
    }
};
using Plan = std::vector<PlannedTensor>;

struct LayoutWriter {
    const char* name = "";  ///< for messages: "AutoAWQ"
    /// Appends the tensors of one quantized linear; `module` is its name without ".weight". `half`: the model's 16-bit type.
    /// The weight outlives the plan. Dense weights (of mixed candidates) do not come here.
    std::function<Status(const std::string& module, const compute::LinearWeight& w, DType half, Plan& plan)> linear;
    Json quantization_config;                                 ///< null: none
    std::vector<std::pair<std::string, std::string>> files;  ///< further files: name, text
    bool transposed = false;                                  ///< GPT-2's Conv1D weights can be written
};
/// export_model() of one such layout. kUnsupported when the model changes no weights.
Status write_model(const ModelSource& source, const std::vector<std::string>& side_files, const QuantizedModel& model,
                   const LayoutWriter& writer, const fs::path& out, const JobContext& ctx);

/// fp32 values in a 16-bit type.
Bytes as_half(std::span<const float> values, DType dtype);
template <class T>
Bytes raw_bytes(const std::vector<T>& values) {
    const auto bytes = std::as_bytes(std::span(values));
    return Bytes(bytes.begin(), bytes.end());
}
/// The module of the language model's head, "lm_head" or GPT-NeoX's "embed_out": it stays in 16 bit.
std::string head_module(const ModelSource& source);
/// Modules that the candidate left in 16 bit although others of its kind are quantized, in the order of the layers.
std::vector<std::string> dense_modules(const ModelSource& source, const QuantizedModel& model);
bool is_dense(compute::WeightFormat format);
/// "model.layers.0.mlp.up_proj" of "….weight".
std::string module_of(const std::string& tensor);

}  // namespace tenpak::quant

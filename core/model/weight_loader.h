// SPDX-License-Identifier: Apache-2.0
// Reads a model's tensors into the forms that the transformer needs, each checked against the shape that config.json
// demands and for values that are not finite.
#pragma once
#include <memory>
#include <string>
#include <vector>

#include "core/compute/linear_weight.h"
#include "core/tensor/model_source.h"

namespace tenpak::model {

class WeightLoader {
   public:
    WeightLoader(const ModelSource& source, const compute::WeightOverrides& overrides, bool dense_f32)
        : source_(source), overrides_(overrides), dense_f32_(dense_f32) {}

    bool has(const std::string& name) const;
    /// kNotFound, kMismatch (shape), kNumeric (not finite), kUnsupported (dtype); each names the tensor.
    Result<std::vector<float>> vector(const std::string& name, std::uint32_t size) const;
    /// [n][k]; `bias_name` empty: none expected.
    Result<compute::LinearWeight> linear(const std::string& name, std::uint32_t n, std::uint32_t k, const std::string& bias_name) const;

   private:
    Result<const TensorInfo*> find(const std::string& name, const std::vector<std::uint64_t>& shape) const;
    const ModelSource& source_;
    const compute::WeightOverrides& overrides_;
    bool dense_f32_;
};

/// kNumeric naming `name` when a dense value is NaN or infinite.
Status check_finite(const compute::LinearWeight& weight, const std::string& name);
Status check_finite(std::span<const float> values, const std::string& name);

}  // namespace tenpak::model

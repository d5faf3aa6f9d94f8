// SPDX-License-Identifier: Apache-2.0
// Reads a model's tensors into the forms that the transformer needs, each checked against the shape that config.json
// demands and for values that are not finite.
#pragma once
#include <algorithm>
#include <memory>
#include <string>
#include <vector>

#include "core/compute/linear_weight.h"
#include "core/model/layout.h"
#include "core/tensor/model_source.h"

namespace tenpak::model {

class WeightLoader {
   public:
    WeightLoader(const ModelSource& source, const compute::WeightOverrides& overrides, bool dense_f32)
        : source_(source), overrides_(overrides), dense_f32_(dense_f32) {}

    bool has(const std::string& name) const;
    /// This linear's weight and bias come from the overrides.
    bool overridden(const std::string& name) const { return overrides_.linears.contains(name); }
    /// kNotFound, kMismatch (shape), kNumeric (not finite), kUnsupported (dtype); each names the tensor.
    Result<std::vector<float>> vector(const std::string& name, std::uint32_t size) const;
    Result<std::vector<float>> matrix(const std::string& name, std::uint32_t rows, std::uint32_t columns) const;
    /// Presence and shape alone, of the weight and its bias.
    Status check(const StoredLinear& stored) const;
    /// [n][k], turned round where it is stored the other way.
    Result<compute::LinearWeight> linear(const StoredLinear& stored) const;

   private:
    Result<const TensorInfo*> find(const std::string& name, const std::vector<std::uint64_t>& shape) const;
    const ModelSource& source_;
    const compute::WeightOverrides& overrides_;
    bool dense_f32_;
};

/// [rows][columns] -> [columns][rows], in squares that fit the cache.
template <class T>
std::vector<T> transposed(const std::vector<T>& v, std::size_t rows, std::size_t columns) {
    constexpr std::size_t kSquare = 32;
    std::vector<T> out(v.size());
    for (std::size_t r0 = 0; r0 < rows; r0 += kSquare) {
        for (std::size_t c0 = 0; c0 < columns; c0 += kSquare) {
            for (std::size_t r = r0; r < std::min(rows, r0 + kSquare); ++r) {
                for (std::size_t c = c0; c < std::min(columns, c0 + kSquare); ++c) out[c * rows + r] = v[r * columns + c];
            }
        }
    }
    return out;
}

/// kNumeric naming `name` when a dense value is NaN or infinite.
Status check_finite(const compute::LinearWeight& weight, const std::string& name);
Status check_finite(std::span<const float> values, const std::string& name);

}  // namespace tenpak::model

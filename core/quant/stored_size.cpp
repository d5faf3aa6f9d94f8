// SPDX-License-Identifier: Apache-2.0
#include "core/quant/quantize.h"

namespace tenpak::quant {

StoredSize stored_size(const ModelSource& model, const compute::WeightOverrides& weights, const std::function<bool(const std::string& name)>& dense) {
    StoredSize size;
    std::uint64_t linear_bytes = 0, linear_weights = 0, dense_weights = 0;
    for (const TensorInfo& t : model.tensors()) {
        size.baseline_bytes += t.elements() * 2;
        if (weights.linears.contains(t.name)) continue;
        size.bytes += t.elements() * 2;
        if (dense && dense(t.name)) dense_weights += t.elements();
    }
    for (const auto& [name, w] : weights.linears) {
        // The bias is a tensor of its own and was counted above.
        linear_bytes += w.stored_bytes() - std::uint64_t{w.bias.size()} * 2;
        linear_weights += std::uint64_t{w.n} * w.k;
    }
    size.bytes += linear_bytes;
    linear_weights += dense_weights;
    if (linear_weights > 0) size.bits_per_weight = 8.0 * static_cast<double>(linear_bytes + 2 * dense_weights) / static_cast<double>(linear_weights);
    return size;
}

}  // namespace tenpak::quant

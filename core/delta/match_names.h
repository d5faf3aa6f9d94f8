// SPDX-License-Identifier: Apache-2.0
// Tensors that were only renamed: checkpoints of one model differ in what stands before the part that names the weight
// ("model.", "transformer.", "base_model.model.", "language_model.model.", …). No list is needed: the pairs of beginnings
// that bring most names together are learned.
#pragma once
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/tensor/model_source.h"

namespace tenpak::delta {

/// A name beginning with `fine_tune` is found in the base with `base` instead.
struct PrefixRule {
    std::string fine_tune, base;
    std::size_t votes = 0;
};
/// For the fine-tune's tensors at `unmatched`, rules by falling votes. `fits(base, fine_tune)`: whether the one can predict the other.
std::vector<PrefixRule> learn_prefixes(const ModelSource& base, const ModelSource& fine_tune, const std::vector<std::uint32_t>& unmatched,
                                       const std::function<bool(const TensorInfo&, const TensorInfo&)>& fits);
/// The tensor of the base that the rule leads to; nothing where the rule does not apply or there is none.
const TensorInfo* renamed(const ModelSource& base, std::string_view name, const PrefixRule& rule);
/// `name` with another layer number; nothing where it has none.
std::optional<std::string> with_layer(std::string_view name, int layer);

}  // namespace tenpak::delta

// SPDX-License-Identifier: Apache-2.0
#include <algorithm>

#include "core/model/transformer.h"

namespace tenpak::model {

KvCache::KvCache(const ModelConfig& config, compute::Backend& backend, std::uint32_t slots, std::uint32_t capacity)
    : capacity_(capacity), kv_dim_(config.kv_heads * config.head_dim), slots_(slots), keys_(backend), values_(backend) {
    const std::size_t count = std::size_t{config.layers} * slots * capacity * kv_dim_;
    allocated_ = keys_.reserve(count);
    if (allocated_.ok()) allocated_ = values_.reserve(count);
    if (!allocated_.ok()) {
        allocated_ = make_error(ErrorCode::kOutOfMemory,
                                "no memory for the keys and values of " + std::to_string(slots) + (slots == 1 ? " sequence" : " sequences") + " of " + std::to_string(capacity) + " tokens (" +
                                    std::to_string(2 * count * sizeof(float)) + " bytes)",
                                {}, "Use a smaller context or batch");
    }
}

void KvCache::clear() {
    for (Slot& s : slots_) s.tokens.clear();
}

void KvCache::truncate(std::uint32_t slot, std::uint32_t length) {
    auto& tokens = slots_[slot].tokens;
    if (length < tokens.size()) tokens.resize(length);
}

compute::KvView KvCache::view(std::uint32_t layer, std::uint32_t slot) {
    const std::size_t at = (std::size_t{layer} * slots_.size() + slot) * capacity_ * kv_dim_;
    return {keys_.data() + at, values_.data() + at, capacity_};
}

}  // namespace tenpak::model

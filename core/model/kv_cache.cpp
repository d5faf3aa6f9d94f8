// SPDX-License-Identifier: Apache-2.0
#include <algorithm>

#include "core/model/transformer.h"

namespace tenpak::model {

KvCache::KvCache(const ModelConfig& config, compute::Backend& backend, std::uint32_t slots, std::uint32_t capacity)
    : capacity_(capacity), kv_dim_(config.kv_heads * config.head_dim), lengths_(slots, 0), keys_(backend), values_(backend) {
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

void KvCache::clear() { std::fill(lengths_.begin(), lengths_.end(), 0u); }

void KvCache::truncate(std::uint32_t slot, std::uint32_t length) { lengths_[slot] = std::min(lengths_[slot], length); }

compute::KvView KvCache::view(std::uint32_t layer, std::uint32_t slot) {
    const std::size_t at = (std::size_t{layer} * lengths_.size() + slot) * capacity_ * kv_dim_;
    return {keys_.data() + at, values_.data() + at, capacity_};
}

}  // namespace tenpak::model

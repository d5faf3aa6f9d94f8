// SPDX-License-Identifier: Apache-2.0
#include "core/model/transformer.h"

namespace tenpak::model {

KvCache::KvCache(const ModelConfig& config, std::uint32_t slots, std::uint32_t capacity)
    : capacity_(capacity), kv_dim_(config.kv_heads * config.head_dim), lengths_(slots, 0) {
    const std::size_t count = std::size_t{config.layers} * slots * capacity * kv_dim_;
    keys_.resize(count);
    values_.resize(count);
}

void KvCache::clear() { std::fill(lengths_.begin(), lengths_.end(), 0u); }

void KvCache::truncate(std::uint32_t slot, std::uint32_t length) { lengths_[slot] = std::min(lengths_[slot], length); }

std::size_t KvCache::offset(std::uint32_t layer, std::uint32_t slot) const {
    return (std::size_t{layer} * lengths_.size() + slot) * capacity_ * kv_dim_;
}

}  // namespace tenpak::model

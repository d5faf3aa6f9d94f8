// SPDX-License-Identifier: Apache-2.0
#include "core/model/memory_need.h"

#include <algorithm>

namespace tenpak::model {
namespace {

// The dense library's scratch and a backend's partial sums: does not grow with the model.
constexpr std::uint64_t kFixedWorkspace = 128u << 20;
// From so many tokens on quantized weights are also held as fp16, one at a time (cuda/plan.h).
constexpr std::uint32_t kDequantizeTokens = 256;

}  // namespace

compute::MemoryNeed memory_need(const ModelConfig& c, const MemoryUse& use) {
    const std::uint64_t hidden = c.hidden, q = std::uint64_t{c.heads} * c.head_dim, kv = std::uint64_t{c.kv_heads} * c.head_dim, vocab = c.vocab;
    const std::uint64_t per_layer = hidden * (2 * q + 2 * kv) + 3 * hidden * c.intermediate;
    compute::MemoryNeed need;
    need.weights = static_cast<std::uint64_t>(static_cast<double>(per_layer * c.layers) * use.bits_per_weight / 8) + vocab * hidden * 2 + (2ull * c.layers + 1) * hidden * 4;
    need.kv_cache = 2ull * c.layers * use.slots * use.positions * kv * 4;
    const std::uint64_t tokens = use.batch_tokens, rows = std::max<std::uint64_t>(use.slots, 1);
    need.workspace = kFixedWorkspace + tokens * (3 * hidden + 2 * q + 2 * kv + 2 * std::uint64_t{c.intermediate}) * 4 + tokens * std::max<std::uint64_t>(hidden, c.intermediate) * 2 + rows * vocab * 4;
    if (use.bits_per_weight < 16 && tokens >= kDequantizeTokens) need.workspace += std::max(hidden * c.intermediate, hidden * q) * 2;
    return need;
}

}  // namespace tenpak::model

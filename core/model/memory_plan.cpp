// SPDX-License-Identifier: Apache-2.0
#include "core/model/memory_plan.h"

#include <algorithm>

#include "core/base/memory_info.h"
#include "core/model/layout.h"

namespace tenpak::model {
namespace {

using compute::LinearWeight;
using compute::WeightFormat;

constexpr std::uint32_t kDefaultContext = 2048;
// Logits are computed for so many values at a time (core/evaluate).
constexpr std::uint64_t kLogitBytes = 16u << 20;
// Of memory that is free now, some goes to others before the model is loaded.
constexpr double kUsable = 0.95;

std::uint64_t padded(std::uint64_t v, std::uint64_t to) { return (v + to - 1) / to * to; }

/// A weight in the form that kernels read: whole panels of 16 rows (cpu/panels.h), near enough for other backends too. Scales
/// of groups take 16 bits, as those of all candidates do; nf4's 32, or 8 where doubly quantized.
std::uint64_t packed_bytes(const LinearWeight& w, bool bias) {
    const std::uint64_t n = w.n, k = w.k, rows = padded(n, 16), panels = rows / 16;
    const std::uint64_t groups = w.group == 0 ? 1 : k / w.group, width = padded(k / groups, 8);
    const std::uint64_t header = w.symmetric ? 32 : 64;  // of a group, as the following: 16 rows
    const std::uint64_t extra = (bias ? rows * 4 : 0) + w.group_index.size() * 4;
    switch (w.format) {
        case WeightFormat::kF32: return rows * k * 4 + extra;
        case WeightFormat::kBF16:
        case WeightFormat::kF16: return rows * padded(k, 32) * 2 + extra;
        case WeightFormat::kInt8Channel: return rows * (padded(k, 64) + 4) + extra;
        case WeightFormat::kFp8Channel: return rows * (padded(k, 32) + 4) + extra;
        case WeightFormat::kInt8Group: return panels * groups * (width * 16 + 32) + extra;
        case WeightFormat::kInt4Group: return panels * groups * (width * 8 + header) + extra;
        case WeightFormat::kInt4Residual: return panels * groups * (padded(k / groups, 16) * 12 + header) + extra;
        case WeightFormat::kInt4Sparse: return panels * groups * (width * 8 + padded(width * 2, 64) + padded(48 + width * 2 + width / 8, 64)) + extra;
        case WeightFormat::kNf4Group: return panels * (groups * width * 8 + (w.scale_codes.empty() ? groups : (groups + 3) / 4) * 64) + extra;
    }
    return 0;
}

class Planner {
   public:
    Planner(const ModelSource& source, const compute::WeightOverrides& overrides, const LoadOptions& options) : source_(source), overrides_(overrides), options_(options) {}

    /// Packed bytes of a stored linear; notes what reading it takes.
    std::uint64_t linear(const StoredLinear& l, MemoryPlan& plan) const {
        const std::uint64_t values = std::uint64_t{l.n} * l.k;
        if (const auto it = overrides_.linears.find(l.name); it != overrides_.linears.end()) {
            const LinearWeight& w = it->second;
            plan.loading = std::max(plan.loading, w.stored_bytes());
            return packed_bytes(w, !w.bias.empty() || !l.bias.empty());
        }
        const bool half = is_half(l.name);
        plan.loading = std::max(plan.loading, values * (half ? 2 : 4) * (l.transposed ? 2 : 1));
        LinearWeight dense;
        dense.format = half ? WeightFormat::kBF16 : WeightFormat::kF32;
        dense.n = l.n;
        dense.k = l.k;
        return packed_bytes(dense, !l.bias.empty());
    }
    bool is_half(const std::string& name) const {
        const TensorInfo* t = source_.find(name);
        return !options_.dense_f32 && t != nullptr && (t->dtype == DType::kBF16 || t->dtype == DType::kF16);
    }

   private:
    const ModelSource& source_;
    const compute::WeightOverrides& overrides_;
    const LoadOptions& options_;
};

std::uint64_t workspace_of(const ModelConfig& c, const Workload& w, std::uint64_t context, unsigned threads) {
    const std::uint64_t q = std::uint64_t{c.heads} * c.head_dim, kv = std::uint64_t{c.kv_heads} * c.head_dim;
    const std::uint64_t tokens = std::max<std::uint64_t>(w.batch_tokens, w.sequences);
    // hidden, normed, projected, and the embedding's rows on the host; q and what attention gives; k, v; gate and up.
    const std::uint64_t activations = tokens * (4 * std::uint64_t{c.hidden} + 2 * q + 2 * kv + 2 * std::uint64_t{c.intermediate}) * 4;
    // Scores of 16 queries a thread; an unpacked pair of panels; a prepared chunk of activations.
    const std::uint64_t scratch = threads * (16 * std::uint64_t{c.heads / c.kv_heads} * context + 32 * std::uint64_t{std::max(c.hidden, c.intermediate)}) * 4 + (4u << 20);
    return activations + scratch + kLogitBytes;
}

std::string numbers(const MemoryPlan& p) {
    return bytes_text(p.resident_total()) + " (weights " + bytes_text(p.outer + p.layers) + ", keys and values " + bytes_text(p.kv_cache) + ", workspace " +
           bytes_text(p.workspace + p.loading) + ")";
}

}  // namespace

Result<MemoryPlan> plan_memory(const ModelConfig& config, const ModelSource& source, const compute::WeightOverrides& overrides, const compute::Backend& backend,
                               const LoadOptions& options) {
    MemoryPlan p;
    const Planner planner(source, overrides, options);
    for (std::uint32_t l = 0; l < config.layers; ++l) {
        const LayerLayout layout = layer_layout(config, l);
        std::uint64_t bytes = 0;
        for (const StoredLinear& linear : layout.linears) bytes += planner.linear(linear, p);
        for (const StoredNorm* norm : {&layout.input_norm, &layout.attention_out_norm, &layout.mlp_norm, &layout.mlp_out_norm, &layout.q_norm, &layout.k_norm}) {
            bytes += std::uint64_t{norm->size} * 4 * (norm->bias.empty() ? 1 : 2);
        }
        p.layers += bytes;
        p.largest_layer = std::max(p.largest_layer, bytes);
    }
    const ModelLayout outer = model_layout(config);
    const std::uint64_t table = std::uint64_t{config.vocab} * config.hidden;
    p.outer = planner.linear({outer.head, "", config.vocab, config.hidden, false}, p) + std::uint64_t{config.hidden} * 8;
    // A tied head's rows are read back from its packed form where the host can reach it.
    if (outer.head != outer.embedding || !backend.host_memory()) p.outer += table * (planner.is_half(outer.embedding) ? 2 : 4);
    if (!outer.positions.empty()) p.outer += std::uint64_t{config.max_positions} * config.hidden * 4;
    for (const auto& [name, w] : overrides.linears) p.overrides += w.stored_bytes();

    const Workload& w = options.workload;
    const std::uint64_t context = w.context != 0 ? w.context : std::min(kDefaultContext, config.max_positions);
    p.kv_cache = 2 * std::uint64_t{config.layers} * w.sequences * context * config.kv_heads * config.head_dim * 4;
    p.workspace = workspace_of(config, w, context, backend.threads());

    p.available = options.memory_limit;
    if (p.available == 0) p.available = static_cast<std::uint64_t>(kUsable * static_cast<double>(backend.free_memory()));
    const bool unknown = p.available == 0, fits = unknown || p.resident_total() <= p.available, fits_streamed = unknown || p.streamed_total() <= p.available;
    p.streamed = options.memory == WeightMemory::kStreamed || (options.memory == WeightMemory::kAutomatic && !fits);
    const std::string there = options.memory_limit != 0 ? "the limit is " + bytes_text(p.available) : bytes_text(p.available) + " are free";
    if (p.streamed && !fits_streamed) {
        return make_error(ErrorCode::kOutOfMemory, "the model needs " + numbers(p) + ", streamed layer by layer still " + bytes_text(p.streamed_total()) + ": " + there, source.id(),
                          "Use a smaller context or batch, a smaller candidate, or a machine with more memory");
    }
    if (!p.streamed && !fits) {
        return make_error(ErrorCode::kOutOfMemory, "the model needs " + numbers(p) + ": " + there, source.id(),
                          "Streamed layer by layer it needs " + bytes_text(p.streamed_total()) + "; or use a smaller context, batch or candidate");
    }
    if (p.streamed) {
        p.note = "weights streamed from disk layer by layer: ";
        p.note += fits ? "asked for" : bytes_text(p.resident_total()) + " do not fit in " + bytes_text(p.available);
    }
    return p;
}

}  // namespace tenpak::model

// SPDX-License-Identifier: Apache-2.0
// The graph. What differs between architectures is read from ModelConfig and LayerKind; there is no code per architecture.
#include "core/model/transformer_impl.h"

#include <algorithm>
#include <cstring>
#include <utility>

namespace tenpak::model {
namespace {

// Sets of rotary frequencies kept: dynamic scaling has one a context length.
constexpr std::size_t kFrequencySets = 8;

}  // namespace

void Batch::add(std::span<const Token> text, std::uint32_t first, std::uint32_t variant) {
    sequences.push_back({static_cast<std::uint32_t>(tokens.size()), static_cast<std::uint32_t>(text.size()), first, variant, {}});
    tokens.insert(tokens.end(), text.begin(), text.end());
    for (std::uint32_t i = 0; i < text.size(); ++i) positions.push_back(first + i);
}

void Transformer::Impl::norm(const Norm& n, const compute::Buffer& x, std::uint32_t rows, std::uint32_t dim, compute::Buffer& y) {
    if (config.norm == NormKind::kLayer) {
        backend.layer_norm(x.data(), n.weight.data(), n.has_bias ? n.bias.data() : nullptr, config.norm_eps, rows, dim, y.data());
    } else {
        backend.rms_norm(x.data(), n.weight.data(), config.norm_eps, rows, dim, y.data(), config.norm == NormKind::kRmsUnitOffset);
    }
}

Status Transformer::Impl::rotate(const Batch& batch) {
    const ModelConfig& c = config;
    const compute::RopeShape of_q{c.heads, c.head_dim, c.rope.dim, std::size_t{c.heads} * c.head_dim, c.rope.attention_factor};
    const compute::RopeShape of_k{c.kv_heads, c.head_dim, c.rope.dim, std::size_t{c.kv_heads} * c.head_dim, c.rope.attention_factor};
    // Sequences that lie together and share their frequencies go in one call.
    for (std::size_t s = 0; s < batch.sequences.size();) {
        const std::uint32_t variant = batch.sequences[s].variant;
        const std::size_t begin = batch.sequences[s].begin;
        std::size_t tokens = 0;
        for (; s < batch.sequences.size() && batch.sequences[s].variant == variant; ++s) tokens += batch.sequences[s].tokens;
        auto it = frequencies.find(variant);
        if (it == frequencies.end()) {
            if (frequencies.size() >= kFrequencySets) frequencies.clear();
            it = frequencies.emplace(variant, compute::Buffer(backend)).first;
            TENPAK_RETURN_IF_ERROR(it->second.assign(c.rope.frequencies(variant)));
        }
        const auto positions = std::span(batch.positions).subspan(begin, tokens);
        backend.rope(q.data() + begin * of_q.stride, positions, of_q, it->second.data());
        backend.rope(k.data() + begin * of_k.stride, positions, of_k, it->second.data());
    }
    return {};
}

/// q, k, v -> attended.
Status Transformer::Impl::attention(std::uint32_t layer, const Batch& batch, LayerWeights& w) {
    const ModelConfig& c = config;
    const LayerKind& kind = c.layer_kinds[layer];
    const auto tokens = static_cast<std::uint32_t>(batch.tokens.size());
    const std::size_t q_dim = std::size_t{c.heads} * c.head_dim, kv_dim = std::size_t{c.kv_heads} * c.head_dim;
    if (c.qk_norm) {
        norm(w.q, q, tokens * c.heads, c.head_dim, q);
        norm(w.k, k, tokens * c.kv_heads, c.head_dim, k);
    }
    if (kind.rotary && c.rope.dim != 0) TENPAK_RETURN_IF_ERROR(rotate(batch));
    TENPAK_RETURN_IF_ERROR(attended.reserve(tokens * q_dim));
    std::vector<compute::AttentionJob> jobs;
    std::vector<compute::KvAppend> appends;
    for (const SequenceSpan& s : batch.sequences) {
        compute::KvView kv = s.kv;
        float *keys = k.data() + s.begin * kv_dim, *values = v.data() + s.begin * kv_dim;
        if (kv.keys == nullptr) {
            kv = {keys, values, s.tokens};
        } else {
            appends.push_back({keys, values, s.tokens, s.first, kv});
        }
        jobs.push_back({q.data() + s.begin * q_dim, s.tokens, s.first, kv, attended.data() + s.begin * q_dim});
    }
    if (!appends.empty()) backend.append_kv(appends, static_cast<std::uint32_t>(kv_dim));
    backend.attention_batch(jobs, {c.heads, c.kv_heads, c.head_dim, kind.attention_scale, c.attention_softcap, kind.window});
    return {};
}

Status Transformer::Impl::block(std::uint32_t index, const Batch& batch, const LinearObserver& observer, std::string_view until) {
    if (stop.stop_requested()) return make_error(ErrorCode::kCancelled, "stopped by the user");
    TENPAK_ASSIGN(LayerWeights* const weights_of_layer, weights(index));
    LayerWeights& w = *weights_of_layer;
    const LayerLayout& layout = layers[index].layout;
    const ModelConfig& c = config;
    const auto tokens = static_cast<std::uint32_t>(batch.tokens.size());
    const std::size_t count = std::size_t{tokens} * c.hidden;
    bool ended = false;  // `until` was reached
    int shown = -1;      // parts of a fused weight share one input: it is shown once
    const auto apply = [&](Projection p, const compute::Buffer& x, compute::Buffer& y) -> Status {
        const LayerLayout::Part& part = layout.parts[p];
        const StoredLinear& stored = layout.linears[static_cast<std::size_t>(part.linear)];
        if (observer && part.linear != shown) TENPAK_RETURN_IF_ERROR(show(observer, stored, x, tokens));
        shown = part.linear;
        ended = stored.name == until;
        if (ended) return {};
        TENPAK_RETURN_IF_ERROR(y.reserve(std::size_t{tokens} * part.rows.count));
        backend.linear(*w.parts[p].packed, x.data(), tokens, y.data());
        return {};
    };
    // Linear layers of the same input, `normed`: one product for the backend where nobody looks on.
    const auto apply_all = [&](std::initializer_list<std::pair<Projection, compute::Buffer*>> parts) -> Status {
        std::vector<compute::LinearProduct> products;
        for (const auto& [p, to] : parts) {
            if (observer || !until.empty()) {
                TENPAK_RETURN_IF_ERROR(apply(p, normed, *to));
                if (ended) return {};
                continue;
            }
            TENPAK_RETURN_IF_ERROR(to->reserve(std::size_t{tokens} * layout.parts[p].rows.count));
            products.push_back({w.parts[p].packed.get(), to->data()});
        }
        if (!products.empty()) backend.linear_all(products, normed.data(), tokens);
        return {};
    };
    TENPAK_RETURN_IF_ERROR(normed.reserve(count));
    norm(w.input, hidden, tokens, c.hidden, normed);
    TENPAK_RETURN_IF_ERROR(apply_all({{kQ, &q}, {kK, &k}, {kV, &v}}));
    if (ended) return {};
    TENPAK_RETURN_IF_ERROR(attention(index, batch, w));
    TENPAK_RETURN_IF_ERROR(apply(kO, attended, projected));
    if (ended) return {};
    if (c.post_norms) norm(w.attention_out, projected, tokens, c.hidden, projected);
    // Side by side, the MLP sees what attention saw: its input is taken before attention's output is added.
    if (c.parallel_residual) norm(w.mlp, hidden, tokens, c.hidden, normed);
    backend.add(hidden.data(), projected.data(), count);
    if (!c.parallel_residual) norm(w.mlp, hidden, tokens, c.hidden, normed);

    const std::size_t inner = std::size_t{tokens} * c.intermediate;
    compute::Buffer& activated = c.gated ? gate : up;
    TENPAK_RETURN_IF_ERROR(c.gated ? apply_all({{kGate, &gate}, {kUp, &up}}) : apply_all({{kUp, &up}}));
    if (ended) return {};
    if (c.gated) {
        backend.activation_mul(c.activation, gate.data(), up.data(), inner, gate.data());
    } else {
        backend.activation(c.activation, up.data(), inner);
    }
    TENPAK_RETURN_IF_ERROR(apply(kDown, activated, projected));
    if (ended) return {};
    if (c.post_norms) norm(w.mlp_out, projected, tokens, c.hidden, projected);
    backend.add(hidden.data(), projected.data(), count);
    return {};
}

Status Transformer::Impl::show(const LinearObserver& observer, const StoredLinear& linear, const compute::Buffer& x, std::uint32_t tokens) {
    if (backend.host_memory()) {
        TENPAK_RETURN_IF_ERROR(backend.synchronize());
        observer(linear.name, x.data(), tokens, linear.k);
        return {};
    }
    observed.resize(std::size_t{tokens} * linear.k);
    TENPAK_RETURN_IF_ERROR(backend.download(x.data(), observed.size(), observed.data()));
    observer(linear.name, observed.data(), tokens, linear.k);
    return {};
}

Result<std::uint32_t> Transformer::Impl::run(std::span<const SequenceChunk> chunks, KvCache& cache) {
    if (!cache.allocated().ok()) return cache.allocated().error();
    Batch batch;
    std::vector<bool> used(cache.slots(), false);
    bool recoded = false;
    for (const SequenceChunk& chunk : chunks) {
        if (chunk.slot >= cache.slots() || used[chunk.slot]) return make_error(ErrorCode::kInvalidArgument, "a batch needs one cache slot a sequence");
        used[chunk.slot] = true;
        const std::uint32_t first = cache.length(chunk.slot);
        if (chunk.tokens.size() > cache.capacity() - first) {
            return make_error(ErrorCode::kInvalidArgument, std::to_string(first + chunk.tokens.size()) + " positions where the cache holds " + std::to_string(cache.capacity()));
        }
        if (chunk.tokens.empty()) return make_error(ErrorCode::kInvalidArgument, "a sequence without tokens");
        KvCache::Slot& slot = cache.slots_[chunk.slot];
        const std::uint32_t variant = config.rope.variant(first + static_cast<std::uint32_t>(chunk.tokens.size()));
        if (first > 0 && config.rope.recodes() && slot.variant != variant) {
            // The keys so far were rotated for another length of context: they are made anew.
            std::vector<Token> all = slot.tokens;
            all.insert(all.end(), chunk.tokens.begin(), chunk.tokens.end());
            batch.add(all, 0, variant);
            recoded = true;
        } else {
            batch.add(chunk.tokens, first, variant);
        }
    }
    TENPAK_RETURN_IF_ERROR(embed(batch.tokens, batch.positions, host_rows));
    TENPAK_RETURN_IF_ERROR(hidden.assign(host_rows));
    for (std::uint32_t l = 0; l < config.layers; ++l) {
        for (std::size_t s = 0; s < chunks.size(); ++s) batch.sequences[s].kv = cache.view(l, chunks[s].slot);
        TENPAK_RETURN_IF_ERROR(block(l, batch, {}));
    }
    norm(final_norm, hidden, static_cast<std::uint32_t>(batch.tokens.size()), config.hidden, hidden);
    std::uint32_t rows = 0;
    for (std::size_t s = 0; s < chunks.size(); ++s) {
        const auto& [begin, tokens, first, variant, kv] = batch.sequences[s];
        const auto asked = static_cast<std::uint32_t>(chunks[s].tokens.size());
        if (recoded) {
            // Rows of earlier tokens were not asked for. Those behind move up, by way of `normed`: they may overlap.
            const std::size_t size = std::size_t{asked} * config.hidden;
            backend.copy(hidden.data() + (std::size_t{begin} + tokens - asked) * config.hidden, size, normed.data());
            backend.copy(normed.data(), size, hidden.data() + std::size_t{rows} * config.hidden);
        }
        rows += asked;
        // Only now do the new positions count: a forward that failed leaves the cache as it was.
        KvCache::Slot& slot = cache.slots_[chunks[s].slot];
        slot.tokens.insert(slot.tokens.end(), chunks[s].tokens.begin(), chunks[s].tokens.end());
        slot.variant = variant;
    }
    return rows;
}

Status Transformer::Impl::head_of(const float* from, std::uint32_t rows, std::vector<float>& out) {
    const std::size_t count = std::size_t{rows} * config.vocab;
    out.resize(count);
    float* to = out.data();
    if (!backend.host_memory()) {
        TENPAK_RETURN_IF_ERROR(logits.reserve(count));
        to = logits.data();
    }
    backend.linear(*head.packed, from, rows, to);
    if (config.logit_softcap != 0) backend.softcap(to, count, config.logit_softcap);
    TENPAK_RETURN_IF_ERROR(to == out.data() ? backend.synchronize() : backend.download(to, count, out.data()));
    if (!check_finite(out, "logits").ok()) return make_error(ErrorCode::kNumeric, "the model's output is not finite", {}, "A weight or scale is far outside its range");
    return {};
}

}  // namespace tenpak::model

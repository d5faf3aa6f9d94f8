// SPDX-License-Identifier: Apache-2.0
#include "core/model/transformer_impl.h"

#include <cmath>
#include <cstring>
#include <utility>

#include "core/base/half.h"

namespace tenpak::model {

void Transformer::Impl::name_parts() {
    const ModelConfig& c = config;
    const std::uint32_t q_dim = c.heads * c.head_dim, kv_dim = c.kv_heads * c.head_dim;
    struct Part {
        const char* name;
        std::uint32_t n, k;
        bool bias;
    };
    const Part parts[kProjections] = {
        {"self_attn.q_proj", q_dim, c.hidden, c.attention_bias},    {"self_attn.k_proj", kv_dim, c.hidden, c.attention_bias},
        {"self_attn.v_proj", kv_dim, c.hidden, c.attention_bias},   {"self_attn.o_proj", c.hidden, q_dim, c.attention_bias},
        {"mlp.gate_proj", c.intermediate, c.hidden, c.mlp_bias},    {"mlp.up_proj", c.intermediate, c.hidden, c.mlp_bias},
        {"mlp.down_proj", c.hidden, c.intermediate, c.mlp_bias},
    };
    layers.reserve(c.layers);
    for (std::uint32_t l = 0; l < c.layers; ++l) layers.emplace_back(backend);
    for (std::uint32_t l = 0; l < c.layers; ++l) {
        const std::string prefix = "model.layers." + std::to_string(l) + ".";
        for (std::size_t p = 0; p < kProjections; ++p) {
            Linear& linear = layers[l].linears[p];
            linear.name = prefix + parts[p].name + ".weight";
            linear.n = parts[p].n;
            linear.k = parts[p].k;
            if (parts[p].bias) linear.bias_name = prefix + parts[p].name + ".bias";
        }
        layers[l].input_norm.name = prefix + "input_layernorm.weight";
        layers[l].post_norm.name = prefix + "post_attention_layernorm.weight";
    }
    final_norm.name = "model.norm.weight";
    head.name = c.tied_head ? "model.embed_tokens.weight" : "lm_head.weight";
    head.n = c.vocab;
    head.k = c.hidden;
}

Status Transformer::Impl::pack(Linear& linear, const WeightLoader& loader) {
    TENPAK_ASSIGN(const auto weight, loader.linear(linear.name, linear.n, linear.k, linear.bias_name));
    linear.bias = weight.bias;
    TENPAK_ASSIGN(linear.packed, backend.make_linear(weight));
    return {};
}

Status Transformer::Impl::read(Norm& norm, const WeightLoader& loader) {
    TENPAK_ASSIGN(const auto weight, loader.vector(norm.name, config.hidden));
    return norm.weight.assign(weight);
}

Status Transformer::Impl::load(const ModelSource& source, const compute::WeightOverrides& overrides, const LoadOptions& options,
                               const JobContext& ctx) {
    TENPAK_ASSIGN(config, read_config(source));
    const WeightLoader loader(source, overrides, options.dense_f32);
    name_parts();
    Progress progress{"load", 0, config.layers + 2ull, "layers", {}};
    const auto step = [&]() -> Status {
        ++progress.done;
        ctx.report(progress);
        return ctx.check();
    };
    TENPAK_RETURN_IF_ERROR(pack(head, loader));
    TENPAK_RETURN_IF_ERROR(step());
    std::vector<float> row(config.hidden);
    if (!config.tied_head || !head.packed->read_row(0, row.data())) {
        TENPAK_ASSIGN(embedding, loader.linear("model.embed_tokens.weight", config.vocab, config.hidden, {}));
    }
    TENPAK_RETURN_IF_ERROR(read(final_norm, loader));
    TENPAK_RETURN_IF_ERROR(inv_freq.assign(config.inv_freq));
    TENPAK_RETURN_IF_ERROR(step());
    for (DecoderLayer& layer : layers) {
        for (Norm* norm : {&layer.input_norm, &layer.post_norm}) {
            TENPAK_RETURN_IF_ERROR(read(*norm, loader));
        }
        for (Linear& linear : layer.linears) {
            TENPAK_RETURN_IF_ERROR(pack(linear, loader));
            TENPAK_RETURN_IF_ERROR(ctx.check());
        }
        TENPAK_RETURN_IF_ERROR(step());
    }
    stop = ctx.stop;
    return {};
}

Status Transformer::Impl::embed(std::span<const Token> tokens, std::vector<float>& rows) const {
    const std::size_t dim = config.hidden;
    rows.resize(tokens.size() * dim);
    for (std::size_t t = 0; t < tokens.size(); ++t) {
        if (tokens[t] < 0 || static_cast<std::uint32_t>(tokens[t]) >= config.vocab) {
            return make_error(ErrorCode::kInvalidArgument, "token " + std::to_string(tokens[t]) + " is outside the model's vocabulary of " + std::to_string(config.vocab), {},
                              "tokenizer.json and the model may not belong together");
        }
        const auto row = static_cast<std::uint32_t>(tokens[t]);
        float* out = rows.data() + t * dim;
        if (embedding.n == 0) {
            head.packed->read_row(row, out);
        } else if (embedding.format == compute::WeightFormat::kF32) {
            std::memcpy(out, embedding.f32.data() + row * dim, dim * sizeof(float));
        } else {
            const bool bf16 = embedding.format == compute::WeightFormat::kBF16;
            const std::uint16_t* h = embedding.half.data() + row * dim;
            for (std::size_t c = 0; c < dim; ++c) out[c] = bf16 ? bf16_to_float(h[c]) : fp16_to_float(h[c]);
        }
    }
    return {};
}

Status Transformer::Impl::block(DecoderLayer& layer, std::span<const std::uint32_t> positions, std::span<const SequenceSpan> sequences,
                                const LinearObserver& observer, std::string_view until) {
    if (stop.stop_requested()) return make_error(ErrorCode::kCancelled, "stopped by the user");
    const ModelConfig& c = config;
    const auto tokens = static_cast<std::uint32_t>(positions.size());
    const std::size_t count = std::size_t{tokens} * c.hidden, q_dim = std::size_t{c.heads} * c.head_dim, kv_dim = std::size_t{c.kv_heads} * c.head_dim;
    bool ended = false;  // `until` was reached
    const auto apply = [&](Projection p, const compute::Buffer& x, compute::Buffer& y) -> Status {
        const Linear& linear = layer.linears[p];
        if (observer) TENPAK_RETURN_IF_ERROR(show(observer, linear, x, tokens));
        ended = linear.name == until;
        if (ended) return {};
        TENPAK_RETURN_IF_ERROR(y.reserve(std::size_t{tokens} * linear.n));
        backend.linear(*linear.packed, x.data(), tokens, y.data());
        return {};
    };
    TENPAK_RETURN_IF_ERROR(normed.reserve(count));
    backend.rms_norm(hidden.data(), layer.input_norm.weight.data(), c.rms_eps, tokens, c.hidden, normed.data(), false);
    for (const auto& [p, to] : {std::pair{kQ, &q}, {kK, &k}, {kV, &v}}) {
        TENPAK_RETURN_IF_ERROR(apply(p, normed, *to));
        if (ended) return {};
    }
    backend.rope(q.data(), positions, {c.heads, c.head_dim, c.head_dim, q_dim, c.attention_factor}, inv_freq.data());
    backend.rope(k.data(), positions, {c.kv_heads, c.head_dim, c.head_dim, kv_dim, c.attention_factor}, inv_freq.data());

    TENPAK_RETURN_IF_ERROR(attended.reserve(std::size_t{tokens} * q_dim));
    std::vector<compute::AttentionJob> jobs;
    std::vector<compute::KvAppend> appends;
    for (const SequenceSpan& s : sequences) {
        compute::KvView kv = s.kv;
        const float *new_keys = k.data() + s.begin * kv_dim, *new_values = v.data() + s.begin * kv_dim;
        if (kv.keys == nullptr) {
            kv = {k.data() + s.begin * kv_dim, v.data() + s.begin * kv_dim, s.tokens};
        } else {
            appends.push_back({new_keys, new_values, s.tokens, s.first, kv});
        }
        jobs.push_back({q.data() + s.begin * q_dim, s.tokens, s.first, kv, attended.data() + s.begin * q_dim});
    }
    if (!appends.empty()) backend.append_kv(appends, static_cast<std::uint32_t>(kv_dim));
    backend.attention_batch(jobs, {c.heads, c.kv_heads, c.head_dim, 1.0f / std::sqrt(static_cast<float>(c.head_dim))});
    TENPAK_RETURN_IF_ERROR(apply(kO, attended, projected));
    if (ended) return {};
    backend.add(hidden.data(), projected.data(), count);

    backend.rms_norm(hidden.data(), layer.post_norm.weight.data(), c.rms_eps, tokens, c.hidden, normed.data(), false);
    for (const auto& [p, to] : {std::pair{kGate, &gate}, {kUp, &up}}) {
        TENPAK_RETURN_IF_ERROR(apply(p, normed, *to));
        if (ended) return {};
    }
    backend.activation_mul(compute::Activation::kSilu, gate.data(), up.data(), std::size_t{tokens} * c.intermediate, gate.data());
    TENPAK_RETURN_IF_ERROR(apply(kDown, gate, projected));
    if (!ended) backend.add(hidden.data(), projected.data(), count);
    return {};
}

Status Transformer::Impl::show(const LinearObserver& observer, const Linear& linear, const compute::Buffer& x, std::uint32_t tokens) {
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

Status Transformer::Impl::run(std::span<const SequenceChunk> chunks, KvCache& cache) {
    if (!cache.allocated().ok()) return cache.allocated().error();
    std::vector<Token> tokens;
    std::vector<std::uint32_t> positions;
    std::vector<SequenceSpan> sequences;
    std::vector<bool> used(cache.slots(), false);
    for (const SequenceChunk& chunk : chunks) {
        if (chunk.slot >= cache.slots() || used[chunk.slot]) return make_error(ErrorCode::kInvalidArgument, "a batch needs one cache slot a sequence");
        used[chunk.slot] = true;
        const std::uint32_t first = cache.length(chunk.slot);
        if (chunk.tokens.size() > cache.capacity() - first) {
            return make_error(ErrorCode::kInvalidArgument, std::to_string(first + chunk.tokens.size()) + " positions where the cache holds " + std::to_string(cache.capacity()));
        }
        if (chunk.tokens.empty()) return make_error(ErrorCode::kInvalidArgument, "a sequence without tokens");
        sequences.push_back({static_cast<std::uint32_t>(tokens.size()), static_cast<std::uint32_t>(chunk.tokens.size()), first, {}});
        tokens.insert(tokens.end(), chunk.tokens.begin(), chunk.tokens.end());
        for (std::uint32_t i = 0; i < chunk.tokens.size(); ++i) positions.push_back(first + i);
    }
    TENPAK_RETURN_IF_ERROR(embed(tokens, host_hidden));
    TENPAK_RETURN_IF_ERROR(hidden.assign(host_hidden));
    for (std::uint32_t l = 0; l < config.layers; ++l) {
        for (std::size_t s = 0; s < chunks.size(); ++s) sequences[s].kv = cache.view(l, chunks[s].slot);
        TENPAK_RETURN_IF_ERROR(block(layers[l], positions, sequences, {}));
    }
    backend.rms_norm(hidden.data(), final_norm.weight.data(), config.rms_eps, static_cast<std::uint32_t>(tokens.size()), config.hidden, hidden.data(), false);
    // Only now do the new positions count: a forward that failed leaves the cache as it was.
    for (const SequenceChunk& chunk : chunks) cache.lengths_[chunk.slot] += static_cast<std::uint32_t>(chunk.tokens.size());
    return {};
}

Status Transformer::Impl::head_of(const float* from, std::uint32_t rows, std::vector<float>& out) {
    const std::size_t count = std::size_t{rows} * config.vocab;
    out.resize(count);
    if (backend.host_memory()) {
        backend.linear(*head.packed, from, rows, out.data());
        TENPAK_RETURN_IF_ERROR(backend.synchronize());
    } else {
        TENPAK_RETURN_IF_ERROR(logits.reserve(count));
        backend.linear(*head.packed, from, rows, logits.data());
        TENPAK_RETURN_IF_ERROR(backend.download(logits.data(), count, out.data()));
    }
    if (!check_finite(out, "logits").ok()) return make_error(ErrorCode::kNumeric, "the model's output is not finite", {}, "A weight or scale is far outside its range");
    return {};
}

Linear* Transformer::Impl::find_linear(const std::string& name) {
    if (name == head.name && !config.tied_head) return &head;
    for (DecoderLayer& layer : layers) {
        for (Linear& linear : layer.linears) {
            if (linear.name == name) return &linear;
        }
    }
    return nullptr;
}

Norm* Transformer::Impl::find_norm(const std::string& name) {
    if (name == final_norm.name) return &final_norm;
    for (DecoderLayer& layer : layers) {
        if (layer.input_norm.name == name) return &layer.input_norm;
        if (layer.post_norm.name == name) return &layer.post_norm;
    }
    return nullptr;
}

}  // namespace tenpak::model

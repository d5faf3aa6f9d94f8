// SPDX-License-Identifier: Apache-2.0
#include "core/model/transformer_impl.h"

#include <cmath>
#include <cstring>

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
    layers.resize(c.layers);
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
    TENPAK_ASSIGN(final_norm.weight, loader.vector(final_norm.name, config.hidden));
    TENPAK_RETURN_IF_ERROR(step());
    for (DecoderLayer& layer : layers) {
        for (Norm* norm : {&layer.input_norm, &layer.post_norm}) {
            TENPAK_ASSIGN(norm->weight, loader.vector(norm->name, config.hidden));
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

Status Transformer::Impl::embed(std::span<const Token> tokens, std::vector<float>& hidden) const {
    const std::size_t dim = config.hidden;
    hidden.resize(tokens.size() * dim);
    for (std::size_t t = 0; t < tokens.size(); ++t) {
        if (tokens[t] < 0 || static_cast<std::uint32_t>(tokens[t]) >= config.vocab) {
            return make_error(ErrorCode::kInvalidArgument, "token " + std::to_string(tokens[t]) + " is outside the model's vocabulary of " + std::to_string(config.vocab), {},
                              "tokenizer.json and the model may not belong together");
        }
        const auto row = static_cast<std::uint32_t>(tokens[t]);
        float* out = hidden.data() + t * dim;
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

Status Transformer::Impl::block(DecoderLayer& layer, std::vector<float>& hidden, std::span<const std::uint32_t> positions,
                                std::span<const SequenceSpan> sequences, const LinearObserver& observer, std::string_view until) {
    if (stop.stop_requested()) return make_error(ErrorCode::kCancelled, "stopped by the user");
    const ModelConfig& c = config;
    const auto tokens = static_cast<std::uint32_t>(positions.size());
    const std::size_t q_dim = std::size_t{c.heads} * c.head_dim, kv_dim = std::size_t{c.kv_heads} * c.head_dim;
    const auto apply = [&](Projection p, const float* x, std::vector<float>& y) {  // false: that was `until`
        const Linear& linear = layer.linears[p];
        if (observer) observer(linear.name, x, tokens, linear.k);
        if (linear.name == until) return false;
        y.resize(std::size_t{tokens} * linear.n);
        backend.linear(*linear.packed, x, tokens, y.data());
        return true;
    };
    normed.resize(std::size_t{tokens} * c.hidden);
    backend.rms_norm(hidden.data(), layer.input_norm.weight.data(), c.rms_eps, tokens, c.hidden, normed.data());
    if (!apply(kQ, normed.data(), q)) return {};
    if (!apply(kK, normed.data(), k)) return {};
    if (!apply(kV, normed.data(), v)) return {};
    backend.rope(q.data(), positions.data(), tokens, c.heads, c.head_dim, c.inv_freq.data(), c.attention_factor);
    backend.rope(k.data(), positions.data(), tokens, c.kv_heads, c.head_dim, c.inv_freq.data(), c.attention_factor);

    attended.resize(std::size_t{tokens} * q_dim);
    std::vector<compute::AttentionJob> jobs;
    jobs.reserve(sequences.size());
    for (const SequenceSpan& s : sequences) {
        compute::KvView kv = s.kv;
        if (kv.keys == nullptr) {
            kv = {k.data() + s.begin * kv_dim, v.data() + s.begin * kv_dim, s.tokens};
        } else {
            std::memcpy(kv.keys + s.first * kv_dim, k.data() + s.begin * kv_dim, s.tokens * kv_dim * sizeof(float));
            std::memcpy(kv.values + s.first * kv_dim, v.data() + s.begin * kv_dim, s.tokens * kv_dim * sizeof(float));
        }
        jobs.push_back({q.data() + s.begin * q_dim, s.tokens, s.first, kv, attended.data() + s.begin * q_dim});
    }
    backend.attention_batch(jobs, {c.heads, c.kv_heads, c.head_dim, 1.0f / std::sqrt(static_cast<float>(c.head_dim))});
    if (!apply(kO, attended.data(), projected)) return {};
    backend.add(hidden.data(), projected.data(), hidden.size());

    backend.rms_norm(hidden.data(), layer.post_norm.weight.data(), c.rms_eps, tokens, c.hidden, normed.data());
    if (!apply(kGate, normed.data(), gate)) return {};
    if (!apply(kUp, normed.data(), up)) return {};
    backend.silu_mul(gate.data(), up.data(), gate.size(), gate.data());
    if (!apply(kDown, gate.data(), projected)) return {};
    backend.add(hidden.data(), projected.data(), hidden.size());
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

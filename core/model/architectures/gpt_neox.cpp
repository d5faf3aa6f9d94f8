// SPDX-License-Identifier: Apache-2.0
// GPT-NeoX and Pythia: attention and MLP side by side, a quarter of each head rotated, layer norms; q, k, v of one head
// after the other in one weight.
#include "core/model/architectures/architecture.h"

namespace tenpak::model {

using compute::RowMap;

Status read_gpt_neox(const ConfigReader& r, ModelConfig& c) {
    TENPAK_RETURN_IF_ERROR(r.sizes(c, {}));
    if (c.kv_heads != c.heads || c.head_dim * c.heads != c.hidden) return r.malformed("GPT-NeoX has one key head a head, and heads that fill the hidden size");
    TENPAK_ASSIGN(c.intermediate, r.dimension("intermediate_size", 1, 1 << 18));
    TENPAK_ASSIGN(c.activation, r.activation("hidden_act", "gelu"));
    TENPAK_ASSIGN(c.norm_eps, r.epsilon("layer_norm_eps", 1e-5));
    TENPAK_ASSIGN(c.tied_head, r.value<bool>("tie_word_embeddings", false));
    TENPAK_ASSIGN(c.parallel_residual, r.value<bool>("use_parallel_residual", true));
    TENPAK_ASSIGN(c.qkv_bias, r.value<bool>("attention_bias", true));
    c.o_bias = c.qkv_bias;
    c.mlp_bias = true;
    c.norm = NormKind::kLayer;
    c.gated = false;
    RopeDefaults rope;
    rope.theta_key = "rotary_emb_base";
    rope.partial_key = "rotary_pct";
    rope.partial = 0.25;
    TENPAK_ASSIGN(c.rope, read_rope(r.json(), c.head_dim, c.max_positions, rope, r.where()));
    c.prefix = "gpt_neox.";
    return {};
}

LayerLayout gpt_neox_layer(const ModelConfig& c, std::uint32_t index) {
    const std::string p = c.prefix + "layers." + std::to_string(index) + ".";
    LayerLayout l;
    const auto stored = [&](const std::string& name, std::uint32_t n, std::uint32_t k, bool bias) {
        return StoredLinear{p + name + ".weight", bias ? p + name + ".bias" : "", n, k, false};
    };
    const auto of_heads = [&](std::uint32_t which) { return RowMap{which * c.head_dim, c.hidden, c.head_dim, 3 * c.head_dim}; };
    l.add(stored("attention.query_key_value", 3 * c.hidden, c.hidden, c.qkv_bias), {{kQ, of_heads(0)}, {kK, of_heads(1)}, {kV, of_heads(2)}});
    l.add(stored("attention.dense", c.hidden, c.hidden, c.o_bias), kO);
    l.add(stored("mlp.dense_h_to_4h", c.intermediate, c.hidden, true), kUp);
    l.add(stored("mlp.dense_4h_to_h", c.hidden, c.intermediate, true), kDown);
    l.input_norm = {p + "input_layernorm.weight", p + "input_layernorm.bias", c.hidden};
    l.mlp_norm = {p + "post_attention_layernorm.weight", p + "post_attention_layernorm.bias", c.hidden};
    return l;
}

ModelLayout gpt_neox_outer(const ModelConfig& c) {
    const std::string embedding = c.prefix + "embed_in.weight";
    return {embedding, "", {c.prefix + "final_layer_norm.weight", c.prefix + "final_layer_norm.bias", c.hidden}, c.tied_head ? embedding : "embed_out.weight"};
}

}  // namespace tenpak::model

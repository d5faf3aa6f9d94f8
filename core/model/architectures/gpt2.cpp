// SPDX-License-Identifier: Apache-2.0
// GPT-2: learned positions, layer norms, a plain MLP, and weights stored [in][out] (Conv1D).
#include <cmath>

#include "core/model/architectures/architecture.h"

namespace tenpak::model {

using compute::RowMap;

Status read_gpt2(const ConfigReader& r, ModelConfig& c) {
    TENPAK_RETURN_IF_ERROR(r.sizes(c, {"n_embd", "n_layer", "n_head", "n_positions"}));
    if (c.kv_heads != c.heads || c.head_dim * c.heads != c.hidden) return r.malformed("GPT-2 has one key head a head, and heads that fill the hidden size");
    TENPAK_ASSIGN(c.intermediate, r.dimension("n_inner", 1, 1 << 18, 4 * c.hidden));
    TENPAK_ASSIGN(c.activation, r.activation("activation_function", "gelu_new"));
    TENPAK_ASSIGN(c.norm_eps, r.epsilon("layer_norm_epsilon", 1e-5));
    TENPAK_ASSIGN(c.tied_head, r.value<bool>("tie_word_embeddings", true));
    TENPAK_ASSIGN(const bool cross, r.value<bool>("add_cross_attention", false));
    if (cross) return r.unsupported("attention to an encoder cannot be run");
    TENPAK_ASSIGN(const bool scaled, r.value<bool>("scale_attn_weights", true));
    TENPAK_ASSIGN(const bool by_layer, r.value<bool>("scale_attn_by_inverse_layer_idx", false));
    for (std::uint32_t l = 0; l < c.layers; ++l) {
        LayerKind& kind = c.layer_kinds[l];
        kind.rotary = false;
        if (!scaled) kind.attention_scale = 1;
        if (by_layer) kind.attention_scale /= static_cast<float>(l + 1);
    }
    c.norm = NormKind::kLayer;
    c.gated = false;
    c.learned_positions = true;
    c.qkv_bias = c.o_bias = c.mlp_bias = true;
    c.prefix = "transformer.";
    return {};
}

LayerLayout gpt2_layer(const ModelConfig& c, std::uint32_t index) {
    const std::string p = c.prefix + "h." + std::to_string(index) + ".";
    LayerLayout l;
    const auto stored = [&](const std::string& name, std::uint32_t n, std::uint32_t k) { return StoredLinear{p + name + ".weight", p + name + ".bias", n, k, true}; };
    l.add(stored("attn.c_attn", 3 * c.hidden, c.hidden),
          {{kQ, RowMap::range(0, c.hidden)}, {kK, RowMap::range(c.hidden, c.hidden)}, {kV, RowMap::range(2 * c.hidden, c.hidden)}});
    l.add(stored("attn.c_proj", c.hidden, c.hidden), kO);
    l.add(stored("mlp.c_fc", c.intermediate, c.hidden), kUp);
    l.add(stored("mlp.c_proj", c.hidden, c.intermediate), kDown);
    l.input_norm = {p + "ln_1.weight", p + "ln_1.bias", c.hidden};
    l.mlp_norm = {p + "ln_2.weight", p + "ln_2.bias", c.hidden};
    return l;
}

ModelLayout gpt2_outer(const ModelConfig& c) {
    const std::string embedding = c.prefix + "wte.weight";
    return {embedding, c.prefix + "wpe.weight", {c.prefix + "ln_f.weight", c.prefix + "ln_f.bias", c.hidden}, c.tied_head ? embedding : "lm_head.weight"};
}

}  // namespace tenpak::model

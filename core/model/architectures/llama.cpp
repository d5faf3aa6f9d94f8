// SPDX-License-Identifier: Apache-2.0
// Llama and those that share its graph and names: Mistral (sliding window), Qwen 2 (biases of q, k, v), Qwen 3 (norms of
// queries and keys), SmolLM 3 (layers without rotary embedding).
#include "core/model/architectures/architecture.h"

namespace tenpak::model {
namespace {

/// Biases that the file switches on.
Status read_biases(const ConfigReader& r, ModelConfig& c) {
    TENPAK_ASSIGN(c.qkv_bias, r.value<bool>("attention_bias", false));
    c.o_bias = c.qkv_bias;
    TENPAK_ASSIGN(c.mlp_bias, r.value<bool>("mlp_bias", false));
    return {};
}

/// Qwen: the window holds only where "use_sliding_window" says so, from layer "max_window_layers" on or as "layer_types" says.
Status read_qwen_windows(const ConfigReader& r, ModelConfig& c) {
    TENPAK_ASSIGN(const bool use, r.value<bool>("use_sliding_window", false));
    if (!use || r.is_null("sliding_window")) return {};
    TENPAK_ASSIGN(const auto window, r.dimension("sliding_window", 1, 1 << 28, 4096));
    TENPAK_ASSIGN(const auto full, r.dimension("max_window_layers", 0, 1 << 20, 28));
    TENPAK_ASSIGN(const auto sliding, r.sliding_layers(c.layers));
    for (std::uint32_t l = 0; l < c.layers; ++l) {
        if (sliding.empty() ? l >= full : sliding[l]) c.layer_kinds[l].window = window;
    }
    return {};
}

}  // namespace

Status read_llama(const ConfigReader& r, ModelConfig& c) {
    TENPAK_RETURN_IF_ERROR(r.llama_like(c, {}));
    return read_biases(r, c);
}

Status read_mistral(const ConfigReader& r, ModelConfig& c) {
    TENPAK_RETURN_IF_ERROR(r.llama_like(c, {}));
    if (r.is_null("sliding_window")) return {};
    TENPAK_ASSIGN(const auto window, r.dimension("sliding_window", 1, 1 << 28, 4096));
    for (LayerKind& kind : c.layer_kinds) kind.window = window;
    return {};
}

Status read_qwen2(const ConfigReader& r, ModelConfig& c) {
    TENPAK_RETURN_IF_ERROR(r.llama_like(c, {}));
    c.qkv_bias = true;
    return read_qwen_windows(r, c);
}

Status read_qwen3(const ConfigReader& r, ModelConfig& c) {
    TENPAK_RETURN_IF_ERROR(r.llama_like(c, {}));
    TENPAK_RETURN_IF_ERROR(read_biases(r, c));
    c.qk_norm = true;
    return read_qwen_windows(r, c);
}

Status read_smollm3(const ConfigReader& r, ModelConfig& c) {
    RopeDefaults rope;
    rope.theta = 2000000;
    TENPAK_RETURN_IF_ERROR(r.llama_like(c, rope));
    TENPAK_RETURN_IF_ERROR(read_biases(r, c));
    TENPAK_ASSIGN(c.tied_head, r.value<bool>("tie_word_embeddings", true));
    TENPAK_ASSIGN(const auto interval, r.dimension("no_rope_layer_interval", 1, 1 << 20, 4));
    if (r.present("no_rope_layers")) {
        const Json& list = r.json().at("no_rope_layers");  // 1: rotated; the name means the zeros
        if (!list.is_array() || list.size() < c.layers) return r.malformed("\"no_rope_layers\" must have one entry a layer");
        for (std::uint32_t l = 0; l < c.layers; ++l) {
            if (!list[l].is_number_integer()) return r.malformed("\"no_rope_layers\" must hold 0 and 1");
            c.layer_kinds[l].rotary = list[l].get<int>() != 0;
        }
    } else {
        for (std::uint32_t l = 0; l < c.layers; ++l) c.layer_kinds[l].rotary = (l + 1) % interval != 0;
    }
    TENPAK_ASSIGN(const bool use, r.value<bool>("use_sliding_window", false));
    if (!use || !r.present("sliding_window")) return {};
    TENPAK_ASSIGN(const auto window, r.dimension("sliding_window", 1, 1 << 28));
    TENPAK_ASSIGN(const auto sliding, r.sliding_layers(c.layers));
    for (std::uint32_t l = 0; l < c.layers; ++l) {
        if (sliding.empty() ? !c.layer_kinds[l].rotary : sliding[l]) c.layer_kinds[l].window = window;
    }
    return {};
}

LayerLayout llama_layer(const ModelConfig& c, std::uint32_t index) {
    const std::string p = c.prefix + "layers." + std::to_string(index) + ".";
    const std::uint32_t q = c.heads * c.head_dim, kv = c.kv_heads * c.head_dim;
    LayerLayout l;
    const auto add = [&](Projection part, const std::string& name, std::uint32_t n, std::uint32_t k, bool bias) {
        l.add({p + name + ".weight", bias ? p + name + ".bias" : "", n, k, false}, part);
    };
    add(kQ, "self_attn.q_proj", q, c.hidden, c.qkv_bias);
    add(kK, "self_attn.k_proj", kv, c.hidden, c.qkv_bias);
    add(kV, "self_attn.v_proj", kv, c.hidden, c.qkv_bias);
    add(kO, "self_attn.o_proj", c.hidden, q, c.o_bias);
    add(kGate, "mlp.gate_proj", c.intermediate, c.hidden, c.mlp_bias);
    add(kUp, "mlp.up_proj", c.intermediate, c.hidden, c.mlp_bias);
    add(kDown, "mlp.down_proj", c.hidden, c.intermediate, c.mlp_bias);
    l.input_norm = {p + "input_layernorm.weight", "", c.hidden};
    l.mlp_norm = {p + "post_attention_layernorm.weight", "", c.hidden};
    if (c.qk_norm) {
        l.q_norm = {p + "self_attn.q_norm.weight", "", c.head_dim};
        l.k_norm = {p + "self_attn.k_norm.weight", "", c.head_dim};
    }
    return l;
}

ModelLayout llama_outer(const ModelConfig& c) {
    const std::string embedding = c.prefix + "embed_tokens.weight";
    return {embedding, "", {c.prefix + "norm.weight", "", c.hidden}, c.tied_head ? embedding : "lm_head.weight"};
}

}  // namespace tenpak::model

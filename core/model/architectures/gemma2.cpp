// SPDX-License-Identifier: Apache-2.0
// Gemma 2 (arXiv 2408.00118): norms in front of and behind attention and MLP, stored as w - 1; embeddings times
// sqrt(hidden); soft caps on attention scores and logits; a sliding window in every other layer.
#include <cmath>

#include "core/model/architectures/architecture.h"

namespace tenpak::model {

Status read_gemma2(const ConfigReader& r, ModelConfig& c) {
    TENPAK_RETURN_IF_ERROR(r.llama_like(c, {}));
    if (!r.present("head_dim")) return r.malformed("\"head_dim\" is missing");
    TENPAK_ASSIGN(const bool both_ways, r.value<bool>("use_bidirectional_attention", false));
    if (both_ways) return r.unsupported("attention to later tokens cannot be run");
    TENPAK_ASSIGN(c.tied_head, r.value<bool>("tie_word_embeddings", true));
    TENPAK_ASSIGN(c.qkv_bias, r.value<bool>("attention_bias", false));
    c.o_bias = c.qkv_bias;
    c.norm = NormKind::kRmsUnitOffset;
    c.post_norms = true;
    TENPAK_ASSIGN(c.activation, r.activation("hidden_activation", "gelu_pytorch_tanh"));
    c.embedding_scale = std::sqrt(static_cast<float>(c.hidden));
    TENPAK_ASSIGN(c.attention_softcap, r.cap("attn_logit_softcapping", 50));
    TENPAK_ASSIGN(c.logit_softcap, r.cap("final_logit_softcapping", 30));
    TENPAK_ASSIGN(const double scalar, r.value<double>("query_pre_attn_scalar", 256));
    if (!(scalar > 0 && scalar < 1e9)) return r.malformed("\"query_pre_attn_scalar\" must be a positive number");
    TENPAK_ASSIGN(const auto window, r.dimension("sliding_window", 1, 1 << 28, r.is_null("sliding_window") ? 0 : 4096));
    TENPAK_ASSIGN(const auto sliding, r.sliding_layers(c.layers));
    for (std::uint32_t l = 0; l < c.layers; ++l) {
        c.layer_kinds[l].attention_scale = static_cast<float>(1 / std::sqrt(scalar));
        if (sliding.empty() ? l % 2 == 0 : sliding[l]) c.layer_kinds[l].window = window;
    }
    return {};
}

LayerLayout gemma2_layer(const ModelConfig& c, std::uint32_t index) {
    LayerLayout l = llama_layer(c, index);
    const std::string p = c.prefix + "layers." + std::to_string(index) + ".";
    l.attention_out_norm = {p + "post_attention_layernorm.weight", "", c.hidden};
    l.mlp_norm = {p + "pre_feedforward_layernorm.weight", "", c.hidden};
    l.mlp_out_norm = {p + "post_feedforward_layernorm.weight", "", c.hidden};
    return l;
}

}  // namespace tenpak::model

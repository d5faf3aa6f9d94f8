// SPDX-License-Identifier: Apache-2.0
// Phi-3 and Phi-3.5: Llama's graph with q, k, v in one weight and gate, up in another; LongRoPE; Phi-4-mini rotates a part
// of each head.
#include "core/model/architectures/architecture.h"

namespace tenpak::model {

using compute::RowMap;

Status read_phi3(const ConfigReader& r, ModelConfig& c) {
    RopeDefaults rope;
    rope.yarn_means_long = true;
    rope.original = 4096;
    TENPAK_RETURN_IF_ERROR(r.llama_like(c, rope));
    if (!r.present("sliding_window")) return {};
    TENPAK_ASSIGN(const auto window, r.dimension("sliding_window", 1, 1 << 28));
    for (LayerKind& kind : c.layer_kinds) kind.window = window;
    return {};
}

LayerLayout phi3_layer(const ModelConfig& c, std::uint32_t index) {
    const std::string p = c.prefix + "layers." + std::to_string(index) + ".";
    const std::uint32_t q = c.heads * c.head_dim, kv = c.kv_heads * c.head_dim;
    LayerLayout l;
    l.add({p + "self_attn.qkv_proj.weight", "", q + 2 * kv, c.hidden, false},
          {{kQ, RowMap::range(0, q)}, {kK, RowMap::range(q, kv)}, {kV, RowMap::range(q + kv, kv)}});
    l.add({p + "self_attn.o_proj.weight", "", c.hidden, q, false}, kO);
    l.add({p + "mlp.gate_up_proj.weight", "", 2 * c.intermediate, c.hidden, false},
          {{kGate, RowMap::range(0, c.intermediate)}, {kUp, RowMap::range(c.intermediate, c.intermediate)}});
    l.add({p + "mlp.down_proj.weight", "", c.hidden, c.intermediate, false}, kDown);
    l.input_norm = {p + "input_layernorm.weight", "", c.hidden};
    l.mlp_norm = {p + "post_attention_layernorm.weight", "", c.hidden};
    return l;
}

}  // namespace tenpak::model

// SPDX-License-Identifier: Apache-2.0
// The linear and norm weights of one decoder layer by name, and who feeds whom: what quantizers need to know of a graph.
#pragma once
#include <array>
#include <cstdint>
#include <string>

namespace tenpak::quant {

/// Llama layout (Llama, Mistral, Qwen2 …): names of the tensors of layer `index`.
struct DecoderLayer {
    explicit DecoderLayer(std::uint32_t index)
        : prefix("model.layers." + std::to_string(index) + "."),
          q(prefix + "self_attn.q_proj.weight"), k(prefix + "self_attn.k_proj.weight"), v(prefix + "self_attn.v_proj.weight"),
          o(prefix + "self_attn.o_proj.weight"), gate(prefix + "mlp.gate_proj.weight"), up(prefix + "mlp.up_proj.weight"),
          down(prefix + "mlp.down_proj.weight"), input_norm(prefix + "input_layernorm.weight"),
          post_attention_norm(prefix + "post_attention_layernorm.weight") {}

    std::string prefix, q, k, v, o, gate, up, down, input_norm, post_attention_norm;
    std::array<std::string, 7> linears() const { return {q, k, v, o, gate, up, down}; }
};

/// "….q_proj.weight" -> "….q_proj.bias".
inline std::string bias_name(const std::string& weight_name) {
    return weight_name.substr(0, weight_name.size() - std::string("weight").size()) + "bias";
}

}  // namespace tenpak::quant

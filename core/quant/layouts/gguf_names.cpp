// SPDX-License-Identifier: Apache-2.0
#include "core/quant/layouts/gguf_names.h"

#include <algorithm>

namespace tenpak::quant {
namespace {

constexpr GgufName kLlama[] = {
    {"input_layernorm", "attn_norm"},    {"self_attn.q_proj", "attn_q"}, {"self_attn.k_proj", "attn_k"},
    {"self_attn.v_proj", "attn_v"},      {"self_attn.o_proj", "attn_output"}, {"self_attn.q_norm", "attn_q_norm"},
    {"self_attn.k_norm", "attn_k_norm"}, {"post_attention_layernorm", "ffn_norm"}, {"mlp.gate_proj", "ffn_gate"},
    {"mlp.up_proj", "ffn_up"},           {"mlp.down_proj", "ffn_down"},
};
constexpr GgufName kGemma2[] = {
    {"input_layernorm", "attn_norm"}, {"self_attn.q_proj", "attn_q"}, {"self_attn.k_proj", "attn_k"},
    {"self_attn.v_proj", "attn_v"},   {"self_attn.o_proj", "attn_output"}, {"post_attention_layernorm", "post_attention_norm"},
    {"pre_feedforward_layernorm", "ffn_norm"}, {"mlp.gate_proj", "ffn_gate"}, {"mlp.up_proj", "ffn_up"},
    {"mlp.down_proj", "ffn_down"},    {"post_feedforward_layernorm", "post_ffw_norm"},
};
constexpr GgufName kPhi3[] = {
    {"input_layernorm", "attn_norm"}, {"self_attn.qkv_proj", "attn_qkv"}, {"self_attn.o_proj", "attn_output"},
    {"post_attention_layernorm", "ffn_norm"}, {"mlp.gate_up_proj", "ffn_up"}, {"mlp.down_proj", "ffn_down"},
};
constexpr GgufName kGpt2[] = {
    {"ln_1", "attn_norm"}, {"attn.c_attn", "attn_qkv"}, {"attn.c_proj", "attn_output"}, {"ln_2", "ffn_norm"},
    {"mlp.c_fc", "ffn_up"}, {"mlp.c_proj", "ffn_down"},
};
constexpr GgufName kGptNeox[] = {
    {"input_layernorm", "attn_norm"}, {"attention.query_key_value", "attn_qkv"}, {"attention.dense", "attn_output"},
    {"post_attention_layernorm", "ffn_norm"}, {"mlp.dense_h_to_4h", "ffn_up"}, {"mlp.dense_4h_to_h", "ffn_down"},
};
constexpr GgufName kOuter[] = {{"embed_tokens", "token_embd"}, {"norm", "output_norm"}};
constexpr GgufName kGpt2Outer[] = {{"wte", "token_embd"}, {"wpe", "position_embd"}, {"ln_f", "output_norm"}};
constexpr GgufName kGptNeoxOuter[] = {{"embed_in", "token_embd"}, {"final_layer_norm", "output_norm"}};

constexpr GgufFamily llama_like(const char* hf, const char* gguf, const char* type) {
    return {.hf = hf, .gguf = gguf, .model_type = type, .prefix = "model.", .stack = "layers", .layer = kLlama, .outer = kOuter, .head = "lm_head"};
}
constexpr GgufFamily interleaved(GgufFamily f) {
    f.interleaved = true;
    return f;
}

constexpr GgufFamily kFamilies[] = {
    interleaved(llama_like("LlamaForCausalLM", "llama", "llama")),
    interleaved(llama_like("LLaMAForCausalLM", "llama", "llama")),
    interleaved(llama_like("MistralForCausalLM", "llama", "mistral")),
    llama_like("Qwen2ForCausalLM", "qwen2", "qwen2"),
    llama_like("Qwen3ForCausalLM", "qwen3", "qwen3"),
    interleaved(llama_like("SmolLM3ForCausalLM", "smollm3", "smollm3")),
    {.hf = "Gemma2ForCausalLM", .gguf = "gemma2", .model_type = "gemma2", .prefix = "model.", .stack = "layers", .layer = kGemma2, .outer = kOuter, .head = "lm_head", .unit_offset = true},
    {.hf = "Phi3ForCausalLM", .gguf = "phi3", .model_type = "phi3", .prefix = "model.", .stack = "layers", .layer = kPhi3, .outer = kOuter, .head = "lm_head"},
    {.hf = "GPT2LMHeadModel", .gguf = "gpt2", .model_type = "gpt2", .prefix = "transformer.", .stack = "h", .layer = kGpt2, .outer = kGpt2Outer, .head = "lm_head", .transposed = true,
     .layer_norm = true},
    {.hf = "GPTNeoXForCausalLM", .gguf = "gptneox", .model_type = "gpt_neox", .prefix = "gpt_neox.", .stack = "layers", .layer = kGptNeox, .outer = kGptNeoxOuter, .head = "embed_out",
     .fused_by_head = true, .layer_norm = true},
};

struct Split {
    std::string_view stem, kind;  // kind: ".weight" or ".bias"
};
std::optional<Split> split_kind(std::string_view name) {
    for (const std::string_view kind : {".weight", ".bias"}) {
        if (name.ends_with(kind)) return Split{name.substr(0, name.size() - kind.size()), kind};
    }
    return std::nullopt;
}

/// "3.rest" -> ("3", "rest"); the number is plain decimal.
std::optional<std::pair<std::string_view, std::string_view>> split_number(std::string_view s) {
    const auto dot = s.find('.');
    if (dot == 0 || dot == s.npos || dot > 5 || s.substr(0, dot).find_first_not_of("0123456789") != s.npos || (dot > 1 && s[0] == '0')) return std::nullopt;
    return std::pair{s.substr(0, dot), s.substr(dot + 1)};
}

const GgufName* find_name(std::span<const GgufName> list, std::string_view stem, const char* GgufName::*side) {
    for (const GgufName& n : list) {
        if (stem == n.*side) return &n;
    }
    return nullptr;
}

}  // namespace

const GgufFamily* gguf_family_of(std::string_view hf) {
    for (const GgufFamily& f : kFamilies) {
        if (hf == f.hf) return &f;
    }
    return nullptr;
}

const GgufFamily* gguf_family_named(std::string_view gguf) {
    for (const GgufFamily& f : kFamilies) {
        if (gguf == f.gguf) return &f;
    }
    return nullptr;
}

std::string known_gguf_architectures() {
    std::string s, last;
    for (const GgufFamily& f : kFamilies) {
        if (f.gguf == last) continue;
        last = f.gguf;
        s += (s.empty() ? "" : ", ") + last;
    }
    return s;
}

std::optional<std::string> gguf_name(const GgufFamily& f, std::string_view hf, std::string_view prefix) {
    const auto split = split_kind(hf);
    if (!split) return std::nullopt;
    if (split->stem == f.head) return "output" + std::string(split->kind);
    if (!split->stem.starts_with(prefix)) return std::nullopt;
    const std::string_view stem = split->stem.substr(prefix.size());
    if (const GgufName* n = find_name(f.outer, stem, &GgufName::hf)) return n->gguf + std::string(split->kind);
    const std::string stack = std::string(f.stack) + ".";
    if (!stem.starts_with(stack)) return std::nullopt;
    const auto layer = split_number(stem.substr(stack.size()));
    if (!layer) return std::nullopt;
    const GgufName* n = find_name(f.layer, layer->second, &GgufName::hf);
    if (n == nullptr) return std::nullopt;
    return "blk." + std::string(layer->first) + "." + n->gguf + std::string(split->kind);
}

std::optional<std::string> hf_name(const GgufFamily& f, std::string_view gguf) {
    const auto split = split_kind(gguf);
    if (!split) return std::nullopt;
    if (split->stem == "output") return f.head + std::string(split->kind);
    if (const GgufName* n = find_name(f.outer, split->stem, &GgufName::gguf)) return f.prefix + std::string(n->hf) + std::string(split->kind);
    if (!split->stem.starts_with("blk.")) return std::nullopt;
    const auto layer = split_number(split->stem.substr(4));
    if (!layer) return std::nullopt;
    const GgufName* n = find_name(f.layer, layer->second, &GgufName::gguf);
    if (n == nullptr) return std::nullopt;
    return f.prefix + std::string(f.stack) + "." + std::string(layer->first) + "." + n->hf + std::string(split->kind);
}

std::uint32_t GgufRows::hf_row(std::uint32_t r) const {
    switch (order) {
        case Order::kSame: return r;
        case Order::kInterleaved: {
            const std::uint32_t head = r / head_dim, i = r % head_dim;
            return head * head_dim + i % 2 * (head_dim / 2) + i / 2;
        }
        case Order::kByHead: {
            const std::uint32_t all = heads * head_dim, part = r / all, head = r % all / head_dim, i = r % head_dim;
            return (head * 3 + part) * head_dim + i;
        }
    }
    return r;
}

std::uint32_t GgufRows::gguf_row(std::uint32_t r) const {
    switch (order) {
        case Order::kSame: return r;
        case Order::kInterleaved: {
            const std::uint32_t head = r / head_dim, i = r % head_dim, half = head_dim / 2;
            return head * head_dim + i % half * 2 + i / half;
        }
        case Order::kByHead: {
            const std::uint32_t head = r / (3 * head_dim), part = r / head_dim % 3, i = r % head_dim;
            return part * heads * head_dim + head * head_dim + i;
        }
    }
    return r;
}

GgufRows gguf_rows(const GgufFamily& f, std::string_view gguf, std::uint32_t heads, std::uint32_t kv_heads, std::uint32_t head_dim) {
    const auto split = split_kind(gguf);
    if (!split) return {};
    if (f.interleaved && split->stem.ends_with(".attn_q")) return {GgufRows::Order::kInterleaved, heads, head_dim};
    if (f.interleaved && split->stem.ends_with(".attn_k")) return {GgufRows::Order::kInterleaved, kv_heads, head_dim};
    if (f.fused_by_head && split->stem.ends_with(".attn_qkv")) return {GgufRows::Order::kByHead, heads, head_dim};
    return {};
}

}  // namespace tenpak::quant

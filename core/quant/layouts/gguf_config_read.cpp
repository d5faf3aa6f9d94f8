// SPDX-License-Identifier: Apache-2.0
#include <cmath>

#include "core/quant/layouts/gguf_config.h"

namespace tenpak::quant {
namespace {

constexpr std::uint64_t kMostPositions = std::uint64_t{1} << 28;

struct Reader {
    const GgufHeader& h;
    const GgufFamily& f;
    const std::string& where;

    std::string key(const char* name) const { return std::string(f.gguf) + "." + name; }
    Error malformed(const std::string& what) const { return make_error(ErrorCode::kMalformed, what, where); }
    Error unsupported(const std::string& what) const { return make_error(ErrorCode::kUnsupported, what, where); }

    Result<std::uint64_t> needed(const char* name, std::uint64_t most) const {
        if (h.find(key(name)) == nullptr) return malformed("\"" + key(name) + "\" is missing");
        TENPAK_ASSIGN(const auto v, h.integer(key(name), 0, where));
        if (v == 0 || v > most) return malformed("\"" + key(name) + "\" is " + std::to_string(v) + ", possible is 1 to " + std::to_string(most));
        return v;
    }
    Result<std::uint64_t> optional(const char* name, std::uint64_t fallback, std::uint64_t most) const {
        TENPAK_ASSIGN(const auto v, h.integer(key(name), fallback, where));
        if (v > most) return malformed("\"" + key(name) + "\" is " + std::to_string(v));
        return v;
    }
    Result<double> number(const char* name, double fallback) const {
        TENPAK_ASSIGN(const double v, h.number(key(name), fallback, where));
        if (!std::isfinite(v)) return malformed("\"" + key(name) + "\" is not a finite number");
        return v;
    }
    bool has(const char* tensor) const { return h.find_tensor(tensor) != nullptr; }

    /// Switches that only llama.cpp's own graphs know.
    Status refuse() const {
        for (const char* name : {"expert_count", "rope.dimension_sections", "attention.clamp_kqv", "attention.max_alibi_bias", "attention.scale", "logit_scale", "residual_scale",
                                 "embedding_scale", "attention.kv_lora_rank"}) {
            const GgufValue* v = h.find(key(name));
            if (v == nullptr) continue;
            const bool zero = (!v->integers.empty() && v->integers[0] == 0) || (!v->floats.empty() && v->floats[0] == 0);
            if (!zero) return unsupported("a model with \"" + key(name) + "\" cannot be run yet");
        }
        return {};
    }

    Result<Json> rope(std::uint64_t context, const GgufRopeFactors& factors) const {
        TENPAK_ASSIGN(const double theta, number("rope.freq_base", 10000));
        Json r = {{"rope_theta", theta}, {"rope_type", "default"}};
        TENPAK_ASSIGN(const auto type, h.text(key("rope.scaling.type"), "none", where));
        TENPAK_ASSIGN(const double linear, number("rope.scale_linear", 1));  // an older name
        TENPAK_ASSIGN(const double factor, number("rope.scaling.factor", linear));
        TENPAK_ASSIGN(const auto original, optional("rope.scaling.original_context_length", context, kMostPositions));
        TENPAK_ASSIGN(const double attention, number("rope.scaling.attn_factor", 1));
        const bool scaled = type != "none" && type != "longrope" && factor != 0 && factor != 1;
        if (!factors.all.empty() || !factors.long_context.empty()) {
            // Llama 3's are one set of divisors for all contexts, Phi-3's two: both are what LongRoPE means.
            if (scaled) return unsupported("rotary frequencies with divisors and a factor besides cannot be run yet");
            const bool both = factors.all.empty();
            if (both && factors.short_context.size() != factors.long_context.size()) return malformed("\"rope_factors_short\" and \"rope_factors_long\" have different sizes");
            r["rope_type"] = "longrope";
            r["long_factor"] = both ? factors.long_context : factors.all;
            r["short_factor"] = both ? factors.short_context : factors.all;
            r["factor"] = 1.0;
            r["attention_factor"] = attention;
            r["original_max_position_embeddings"] = original;
            return r;
        }
        if (!scaled) return r;
        r["factor"] = factor;
        r["rope_type"] = type;
        if (type == "linear") return r;
        if (type != "yarn") return unsupported("rotary embedding of type \"" + type + "\" cannot be run yet");
        if (attention != 1) return unsupported("YaRN with an attention factor of its own cannot be run yet");
        r["original_max_position_embeddings"] = original;
        TENPAK_ASSIGN(r["beta_fast"], number("rope.scaling.yarn_beta_fast", 32));
        TENPAK_ASSIGN(r["beta_slow"], number("rope.scaling.yarn_beta_slow", 1));
        return r;
    }

    Result<Json> gpt2() const {
        Json j;
        TENPAK_ASSIGN(j["n_embd"], needed("embedding_length", 1 << 16));
        TENPAK_ASSIGN(j["n_layer"], needed("block_count", 1024));
        TENPAK_ASSIGN(j["n_head"], needed("attention.head_count", 1024));
        TENPAK_ASSIGN(j["n_positions"], needed("context_length", kMostPositions));
        TENPAK_ASSIGN(j["n_inner"], needed("feed_forward_length", 1 << 18));
        TENPAK_ASSIGN(j["layer_norm_epsilon"], number("attention.layer_norm_epsilon", 1e-5));
        j["activation_function"] = "gelu_new";
        return j;
    }

    Result<Json> others(const GgufRopeFactors& factors) const {
        Json j;
        TENPAK_ASSIGN(const auto hidden, needed("embedding_length", 1 << 16));
        TENPAK_ASSIGN(const auto heads, needed("attention.head_count", 1024));
        TENPAK_ASSIGN(const auto context, needed("context_length", kMostPositions));
        TENPAK_ASSIGN(const auto kv_heads, optional("attention.head_count_kv", heads, 1024));
        TENPAK_ASSIGN(const auto head_dim, optional("attention.key_length", hidden / heads, 1024));
        TENPAK_ASSIGN(const auto value_dim, optional("attention.value_length", head_dim, 1024));
        TENPAK_ASSIGN(const auto rotated, optional("rope.dimension_count", head_dim, 1024));
        if (value_dim != head_dim) return unsupported("heads with values of another size than keys cannot be run yet");
        if (head_dim == 0 || rotated > head_dim) return malformed("an impossible size of heads");
        j["hidden_size"] = hidden;
        j["num_attention_heads"] = heads;
        j["num_key_value_heads"] = kv_heads;
        j["max_position_embeddings"] = context;
        j["head_dim"] = head_dim;
        TENPAK_ASSIGN(j["num_hidden_layers"], needed("block_count", 1024));
        TENPAK_ASSIGN(j["intermediate_size"], needed("feed_forward_length", 1 << 18));
        if (f.layer_norm) {
            TENPAK_ASSIGN(j["layer_norm_eps"], number("attention.layer_norm_epsilon", 1e-5));
        } else {
            TENPAK_ASSIGN(j["rms_norm_eps"], number("attention.layer_norm_rms_epsilon", 1e-6));
        }
        TENPAK_ASSIGN(j["rope_parameters"], rope(context, factors));
        // Phi-3's is read beside the scaling.
        if (j["rope_parameters"].contains("original_max_position_embeddings")) j["original_max_position_embeddings"] = j["rope_parameters"]["original_max_position_embeddings"];
        if (rotated != head_dim) {
            if (f.interleaved) return unsupported("rotating a part of each head cannot be run for this architecture");
            j["rope_parameters"]["partial_rotary_factor"] = static_cast<double>(rotated) / static_cast<double>(head_dim);
        }
        return j;
    }

    Status special(Json& j) const {
        const std::string type = f.model_type;
        const bool qkv_bias = has("blk.0.attn_q.bias"), o_bias = has("blk.0.attn_output.bias");
        if (type == "llama" || type == "qwen3" || type == "smollm3") {
            if (qkv_bias != o_bias) return unsupported("biases of q, k, v without one of the output, or the other way round, cannot be run for this architecture");
            j["attention_bias"] = qkv_bias;
            j["mlp_bias"] = has("blk.0.ffn_up.bias");
            j["hidden_act"] = "silu";
        } else if (type == "qwen2" || type == "phi3") {
            j["hidden_act"] = "silu";
        } else if (type == "gemma2") {
            j["hidden_activation"] = "gelu_pytorch_tanh";
            TENPAK_ASSIGN(const double attention_cap, number("attn_logit_softcapping", 50));
            TENPAK_ASSIGN(const double logit_cap, number("final_logit_softcapping", 30));
            j["attn_logit_softcapping"] = attention_cap == 0 ? Json() : Json(attention_cap);
            j["final_logit_softcapping"] = logit_cap == 0 ? Json() : Json(logit_cap);
            TENPAK_ASSIGN(j["sliding_window"], optional("attention.sliding_window", 4096, kMostPositions));
            // llama.cpp tells the model by its layers: that of 46 scales by hidden / heads, the others by the head's size.
            const auto layers = j["num_hidden_layers"].get<std::uint64_t>(), heads = j["num_attention_heads"].get<std::uint64_t>();
            j["query_pre_attn_scalar"] = layers == 46 ? j["hidden_size"].get<std::uint64_t>() / heads : j["head_dim"].get<std::uint64_t>();
        } else if (type == "gpt_neox") {
            j["hidden_act"] = "gelu_pytorch_tanh";  // what llama.cpp computes
            TENPAK_ASSIGN(j["use_parallel_residual"], h.boolean(key("use_parallel_residual"), true, where));
            j["rotary_pct"] = j["rope_parameters"].value("partial_rotary_factor", 1.0);
            j["rotary_emb_base"] = j["rope_parameters"]["rope_theta"];
        }
        if (type == "smollm3") j["no_rope_layer_interval"] = 4;
        return {};
    }
};

}  // namespace

Result<Json> config_from_gguf(const GgufHeader& header, const GgufFamily& family, const GgufRopeFactors& factors, const std::string& where) {
    const Reader r{header, family, where};
    TENPAK_RETURN_IF_ERROR(r.refuse());
    const GgufTensor* embedding = header.find_tensor("token_embd.weight");
    if (embedding == nullptr || embedding->shape.size() != 2 || embedding->shape[0] > (1u << 24)) return r.malformed("\"token_embd.weight\" is missing or no table");
    TENPAK_ASSIGN(Json j, std::string_view(family.gguf) == "gpt2" ? r.gpt2() : r.others(factors));
    j["architectures"] = {family.hf};
    j["model_type"] = family.model_type;
    j["vocab_size"] = embedding->shape[0];
    j["tie_word_embeddings"] = !r.has("output.weight");
    TENPAK_RETURN_IF_ERROR(r.special(j));
    Json ends = Json::array();
    for (const char* key : {"tokenizer.ggml.eos_token_id", "tokenizer.ggml.eot_token_id", "tokenizer.ggml.eom_token_id"}) {
        if (header.find(key) == nullptr) continue;
        TENPAK_ASSIGN(const auto id, header.integer(key, 0, where));
        if (id < (1u << 24)) ends.push_back(id);
    }
    if (!ends.empty()) j["eos_token_id"] = std::move(ends);
    if (header.find("tokenizer.ggml.bos_token_id") != nullptr) {
        TENPAK_ASSIGN(const auto id, header.integer("tokenizer.ggml.bos_token_id", 0, where));
        if (id < (1u << 24)) j["bos_token_id"] = id;
    }
    return j;
}

}  // namespace tenpak::quant

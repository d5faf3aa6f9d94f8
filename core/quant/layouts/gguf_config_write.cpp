// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cmath>

#include "core/quant/layouts/gguf_config.h"

namespace tenpak::quant {
namespace {

using model::ModelConfig;
using model::Rope;

struct Writer {
    const ModelConfig& c;
    const Json& json;
    const GgufFamily& f;
    const std::string& where;
    GgufParameters out;

    Error unsupported(const std::string& what) const {
        return make_error(ErrorCode::kUnsupported, "llama.cpp's graph of \"" + std::string(f.gguf) + "\" " + what, where, "Choose another layout");
    }
    void put(const char* name, GgufValue v) { out.values.emplace_back(std::string(f.gguf) + "." + name, std::move(v)); }
    bool is(const char* type) const { return std::string_view(f.model_type) == type; }

    Status check_layers() {
        const bool gemma = is("gemma2");
        // Gemma 2's scale is fixed there: 1 / sqrt(hidden / heads) in the model of 46 layers, 1 / sqrt(head size) in the others.
        const double per_head = gemma && c.layers == 46 ? static_cast<double>(c.hidden / c.heads) : c.head_dim;
        std::uint32_t shortest = 0;
        for (std::uint32_t l = 0; l < c.layers; ++l) {
            const model::LayerKind& kind = c.layer_kinds[l];
            if (std::fabs(static_cast<double>(kind.attention_scale) * std::sqrt(per_head) - 1) > 1e-6) return unsupported("has another scale of attention scores");
            const bool rotary = is("smollm3") ? (l + 1) % 4 != 0 : !is("gpt2");
            if (kind.rotary != rotary) return unsupported("rotates queries and keys in other layers than this model");
            if (gemma && (kind.window != 0) != (l % 2 == 0)) return unsupported("has its sliding window in other layers than this model");
            if (kind.window != 0 && (shortest == 0 || kind.window < shortest)) shortest = kind.window;
        }
        if (gemma) {
            put("attention.sliding_window", GgufValue::u32(shortest));
        } else if (shortest != 0 && shortest < c.max_positions) {
            out.notes.push_back("llama.cpp attends to all earlier tokens, where this model sees the last " + std::to_string(shortest) + ": texts longer than that are computed otherwise");
        }
        return {};
    }

    Status check_graph() {
        using compute::Activation;
        if (c.activation != (is("gpt2") || is("gpt_neox") || is("gemma2") ? Activation::kGeluTanh : Activation::kSilu)) {
            if (!is("gpt_neox") || c.activation != Activation::kGeluErf) return unsupported("has another activation than this model");
            out.notes.push_back("llama.cpp computes GELU by its tanh approximation: its results differ a little from the model's");
        }
        if ((c.attention_softcap != 0 || c.logit_softcap != 0 || c.embedding_scale != 1) && !is("gemma2")) return unsupported("has no soft caps or scaled embeddings");
        const bool biases = is("llama") || is("mistral") || is("gpt2") || is("gpt_neox");
        if ((c.qkv_bias && !biases && !is("qwen2")) || ((c.o_bias || c.mlp_bias) && !biases)) return unsupported("has no biases where this model has some");
        if (is("gemma2") && !c.tied_head) return unsupported("has no head of its own");
        return {};
    }

    Status sizes() {
        put("vocab_size", GgufValue::u32(c.vocab));
        put("context_length", GgufValue::u32(c.max_positions));
        put("embedding_length", GgufValue::u32(c.hidden));
        put("block_count", GgufValue::u32(c.layers));
        put("feed_forward_length", GgufValue::u32(c.intermediate));
        put("attention.head_count", GgufValue::u32(c.heads));
        put("attention.head_count_kv", GgufValue::u32(c.kv_heads));
        put(f.layer_norm ? "attention.layer_norm_epsilon" : "attention.layer_norm_rms_epsilon", GgufValue::f32(c.norm_eps));
        if (is("gpt2")) return {};
        put("attention.key_length", GgufValue::u32(c.head_dim));
        put("attention.value_length", GgufValue::u32(c.head_dim));
        if (is("gemma2")) {
            put("attn_logit_softcapping", GgufValue::f32(c.attention_softcap));
            put("final_logit_softcapping", GgufValue::f32(c.logit_softcap));
        }
        if (is("gpt_neox")) put("use_parallel_residual", GgufValue::boolean(c.parallel_residual));
        return {};
    }

    /// What each frequency was divided by, against theta^(-2i/dim).
    std::vector<float> divisors(const std::vector<float>& frequencies) const {
        std::vector<float> d(frequencies.size());
        for (std::size_t i = 0; i < d.size(); ++i) {
            const double plain = std::pow(c.rope.theta, -2.0 * static_cast<double>(i) / c.rope.dim);
            d[i] = static_cast<float>(plain / static_cast<double>(frequencies[i]));
            if (std::fabs(d[i] - 1) < 1e-6f) d[i] = 1;
        }
        return d;
    }

    Status rope() {
        if (is("gpt2")) return {};
        if (f.interleaved && c.rope.dim != c.head_dim) return unsupported("rotates whole heads, this model a part of them");
        put("rope.dimension_count", GgufValue::u32(c.rope.dim));
        put("rope.freq_base", GgufValue::f32(static_cast<float>(c.rope.theta)));
        const Json none = Json::object();
        const Json* scaling = &none;
        for (const char* key : {"rope_scaling", "rope_parameters"}) {
            if (json.contains(key) && json.at(key).is_object()) scaling = &json.at(key);
        }
        std::string type = "default";
        for (const char* key : {"type", "rope_type"}) {
            if (scaling->contains(key) && scaling->at(key).is_string()) type = scaling->at(key).get<std::string>();
        }
        const auto number = [&](const char* key, double fallback) { return scaling->contains(key) && scaling->at(key).is_number() ? scaling->at(key).get<double>() : fallback; };
        const bool has_divisors = is("llama") || is("mistral");  // the graphs that read the tensor "rope_freqs"
        if (c.rope.kind == Rope::Kind::kLong) {
            if (!is("phi3") && !has_divisors) return unsupported("has no LongRoPE");
            out.factors.long_context = divisors(c.rope.long_frequencies);
            out.factors.short_context = divisors(c.rope.short_frequencies);
            if (out.factors.long_context == out.factors.short_context && has_divisors && c.rope.attention_factor == 1) {
                out.factors.all = std::move(out.factors.long_context);
                out.factors.long_context.clear();
                out.factors.short_context.clear();
                return {};
            }
            put("rope.scaling.type", GgufValue::text("longrope"));
            put("rope.scaling.original_context_length", GgufValue::u32(c.rope.original));
            put("rope.scaling.attn_factor", GgufValue::f32(c.rope.attention_factor));
            out.notes.push_back("llama.cpp takes the rotary frequencies of long or of short contexts by the size of its context, not by the text's: keep -c at " + std::to_string(c.rope.original) +
                                " or below for short ones");
            return {};
        }
        if (c.rope.kind == Rope::Kind::kDynamic) return unsupported("has no dynamic rotary scaling");
        if (type == "default") return {};
        if (type == "linear") {
            put("rope.scaling.type", GgufValue::text("linear"));
            put("rope.scaling.factor", GgufValue::f32(static_cast<float>(number("factor", 1))));
            return {};
        }
        if (type == "llama3" && has_divisors) {
            out.factors.all = divisors(c.rope.short_frequencies);
            return {};
        }
        if (type == "yarn") {
            if (scaling->contains("truncate") && scaling->at("truncate") != true) return unsupported("has YaRN with \"truncate\" only");
            const double original = number("original_max_position_embeddings", c.max_positions), factor = number("factor", c.max_positions / original);
            const double usual = factor <= 1 ? 1 : 0.1 * std::log(factor) + 1;
            if (std::fabs(static_cast<double>(c.rope.attention_factor) / usual - 1) > 1e-5) return unsupported("has YaRN with its usual attention factor only");
            put("rope.scaling.type", GgufValue::text("yarn"));
            put("rope.scaling.factor", GgufValue::f32(static_cast<float>(factor)));
            put("rope.scaling.original_context_length", GgufValue::u32(static_cast<std::uint32_t>(original)));
            put("rope.scaling.yarn_beta_fast", GgufValue::f32(static_cast<float>(number("beta_fast", 32))));
            put("rope.scaling.yarn_beta_slow", GgufValue::f32(static_cast<float>(number("beta_slow", 1))));
            return {};
        }
        return unsupported("has no rotary scaling of type \"" + type + "\"");
    }
};

}  // namespace

Result<GgufParameters> gguf_from_config(const ModelConfig& config, const Json& json, const GgufFamily& family, const std::string& where) {
    Writer w{config, json, family, where, {}};
    TENPAK_RETURN_IF_ERROR(w.check_graph());
    TENPAK_RETURN_IF_ERROR(w.sizes());
    TENPAK_RETURN_IF_ERROR(w.check_layers());
    TENPAK_RETURN_IF_ERROR(w.rope());
    return std::move(w.out);
}

}  // namespace tenpak::quant

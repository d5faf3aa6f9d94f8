// SPDX-License-Identifier: Apache-2.0
#include "core/model/architectures/config_reader.h"

#include <cmath>

namespace tenpak::model {

Result<std::uint32_t> ConfigReader::dimension(const char* key, std::uint32_t low, std::uint32_t high) const {
    TENPAK_ASSIGN(const auto v, json_get<std::uint64_t>(j, key, where_));
    if (v < low || v > high) {
        return malformed(std::string("\"") + key + "\" is " + std::to_string(v) + ", possible is " + std::to_string(low) + " to " + std::to_string(high));
    }
    return static_cast<std::uint32_t>(v);
}

Result<std::uint32_t> ConfigReader::dimension(const char* key, std::uint32_t low, std::uint32_t high, std::uint32_t fallback) const {
    if (!present(key)) return fallback;
    return dimension(key, low, high);
}

Result<float> ConfigReader::cap(const char* key, float fallback) const {
    if (is_null(key)) return 0.0f;
    TENPAK_ASSIGN(const double v, value<double>(key, static_cast<double>(fallback)));
    if (!(v > 0 && v < 1e6)) return malformed(std::string("\"") + key + "\" must be a positive number or null");
    return static_cast<float>(v);
}

Result<std::int32_t> ConfigReader::token(const char* key) const {
    if (!present(key)) return -1;
    const Json& v = j.at(key);
    if (v.is_array() && v.empty()) return -1;
    const Json& first = v.is_array() ? v.front() : v;
    if (!first.is_number_integer()) return malformed(std::string("\"") + key + "\" must be an integer");
    const auto id = first.get<std::int64_t>();
    if (id < -1 || id > INT32_MAX) return malformed(std::string("\"") + key + "\" is out of range");
    return static_cast<std::int32_t>(id);
}

Result<compute::Activation> ConfigReader::activation(const char* key, const char* fallback) const {
    TENPAK_ASSIGN(const auto name, value<std::string>(key, fallback));
    if (name == "silu" || name == "swish") return compute::Activation::kSilu;
    if (name == "gelu_new" || name == "gelu_pytorch_tanh" || name == "gelu_fast") return compute::Activation::kGeluTanh;
    if (name == "gelu" || name == "gelu_python") return compute::Activation::kGeluErf;
    return unsupported("activation \"" + name + "\" cannot be run yet", "Known: silu, gelu, gelu_new, gelu_pytorch_tanh");
}

Result<float> ConfigReader::epsilon(const char* key, double fallback) const {
    TENPAK_ASSIGN(const double eps, value<double>(key, fallback));
    if (!(eps > 0 && eps < 1)) return malformed(std::string("\"") + key + "\" must lie between 0 and 1");
    return static_cast<float>(eps);
}

Status ConfigReader::sizes(ModelConfig& c, const Names& names) const {
    TENPAK_ASSIGN(c.hidden, dimension(names.hidden, 1, 1 << 16));
    TENPAK_ASSIGN(c.layers, dimension(names.layers, 1, 1024));
    TENPAK_ASSIGN(c.heads, dimension(names.heads, 1, 1024));
    TENPAK_ASSIGN(c.kv_heads, dimension("num_key_value_heads", 1, 1024, c.heads));
    TENPAK_ASSIGN(c.vocab, dimension("vocab_size", 1, 1 << 24));
    TENPAK_ASSIGN(c.max_positions, dimension(names.positions, 1, 1 << 28, 2048));
    TENPAK_ASSIGN(c.bos, token("bos_token_id"));
    TENPAK_ASSIGN(c.eos, token("eos_token_id"));
    if (c.heads % c.kv_heads != 0) return malformed(std::to_string(c.heads) + " heads cannot share " + std::to_string(c.kv_heads) + " key heads evenly");
    if (present("head_dim")) {
        TENPAK_ASSIGN(c.head_dim, dimension("head_dim", 2, 1024));
    } else {
        if (c.hidden % c.heads != 0) return malformed(std::string(names.hidden) + " " + std::to_string(c.hidden) + " is not a multiple of " + std::to_string(c.heads) + " heads");
        c.head_dim = c.hidden / c.heads;
    }
    if (c.head_dim % 2 != 0 || c.head_dim > 1024) return malformed("head size " + std::to_string(c.head_dim) + " must be even and at most 1024");
    plain_layers(c);
    return {};
}

void ConfigReader::plain_layers(ModelConfig& c) const {
    LayerKind kind;
    kind.attention_scale = 1.0f / std::sqrt(static_cast<float>(c.head_dim));
    c.layer_kinds.assign(c.layers, kind);
}

Status ConfigReader::llama_like(ModelConfig& c, const RopeDefaults& rope) const {
    TENPAK_RETURN_IF_ERROR(sizes(c, {}));
    TENPAK_ASSIGN(c.intermediate, dimension("intermediate_size", 1, 1 << 18));
    TENPAK_ASSIGN(c.activation, activation("hidden_act", "silu"));
    TENPAK_ASSIGN(c.norm_eps, epsilon("rms_norm_eps", 1e-6));
    TENPAK_ASSIGN(c.tied_head, value<bool>("tie_word_embeddings", false));
    TENPAK_ASSIGN(c.rope, read_rope(j, c.head_dim, c.max_positions, rope, where_));
    // Dynamic scaling is there to go beyond the context that the file states.
    if (c.rope.kind == Rope::Kind::kDynamic) c.max_positions = static_cast<std::uint32_t>(std::min(c.max_positions * c.rope.factor, 1.0 * (1 << 28)));
    c.prefix = "model.";
    return {};
}

Result<std::vector<bool>> ConfigReader::sliding_layers(std::uint32_t layers) const {
    std::vector<bool> out;
    if (!present("layer_types")) return out;
    const Json& list = j.at("layer_types");
    if (!list.is_array() || list.size() != layers) return malformed("\"layer_types\" must have one entry a layer");
    for (const Json& type : list) {
        const std::string name = type.is_string() ? type.get<std::string>() : type.dump();
        if (name != "sliding_attention" && name != "full_attention") return unsupported("layers of type " + name + " cannot be run yet", "Known: full_attention, sliding_attention");
        out.push_back(name == "sliding_attention");
    }
    return out;
}

}  // namespace tenpak::model

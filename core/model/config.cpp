// SPDX-License-Identifier: Apache-2.0
#include "core/model/config.h"

#include <algorithm>
#include <cmath>

#include "core/base/json.h"
#include "core/model/rope_frequencies.h"

namespace tenpak::model {
namespace {

constexpr std::uint64_t kMaxConfigBytes = 1 << 20;

/// One dimension of the model: present, an integer, inside what any model has.
Result<std::uint32_t> dimension(const Json& j, const char* key, std::uint32_t low, std::uint32_t high, const std::string& where) {
    TENPAK_ASSIGN(const auto v, json_get<std::uint64_t>(j, key, where));
    if (v < low || v > high) {
        return make_error(ErrorCode::kMalformed,
                          std::string("\"") + key + "\" is " + std::to_string(v) + ", possible is " + std::to_string(low) + " to " + std::to_string(high), where);
    }
    return static_cast<std::uint32_t>(v);
}

bool present(const Json& j, const char* key) { return j.contains(key) && !j.at(key).is_null(); }

template <class T>
Result<T> optional_value(const Json& j, const char* key, T fallback, const std::string& where) {
    if (!present(j, key)) return fallback;
    return json_get<T>(j, key, where);
}

/// "eos_token_id" may be a number or a list of them: the first is taken.
Result<std::int32_t> token_id(const Json& j, const char* key, const std::string& where) {
    if (!present(j, key)) return -1;
    const Json& v = j.at(key);
    if (v.is_array() && v.empty()) return -1;
    const Json& first = v.is_array() ? v.front() : v;
    if (!first.is_number_integer()) return make_error(ErrorCode::kMalformed, std::string("\"") + key + "\" must be an integer", where);
    const auto id = first.get<std::int64_t>();
    if (id < -1 || id > INT32_MAX) return make_error(ErrorCode::kMalformed, std::string("\"") + key + "\" is out of range", where);
    return static_cast<std::int32_t>(id);
}

Result<std::string> architecture_of(const Json& j, const std::string& where) {
    if (!present(j, "architectures")) return make_error(ErrorCode::kMalformed, "\"architectures\" is missing", where);
    const Json& a = j.at("architectures");
    if (!a.is_array() || a.empty() || !a.front().is_string()) return make_error(ErrorCode::kMalformed, "\"architectures\" must be a list of names", where);
    return a.front().get<std::string>();
}

Result<Json> load_config(const ModelSource& source, std::string& where) {
    where = source.id() + "/config.json";
    auto bytes = source.read_side_file("config.json");
    if (!bytes.ok()) {
        if (bytes.error().code != ErrorCode::kNotFound) return std::move(bytes).error();
        return make_error(ErrorCode::kNotFound, "the model has no config.json", source.id(),
                          "Running a model needs its whole Hugging Face directory, not only the weights");
    }
    JsonLimits limits;
    limits.max_bytes = kMaxConfigBytes;
    return parse_json(as_text(*bytes), where, limits);
}

/// What Mistral adds to Llama: attention over the last `sliding_window` positions only.
Status check_sliding_window(const Json& j, const ModelConfig& c, const std::string& where) {
    if (!present(j, "sliding_window")) return {};
    TENPAK_ASSIGN(const auto window, json_get<std::uint64_t>(j, "sliding_window", where));
    if (window >= c.max_positions) return {};
    return make_error(ErrorCode::kUnsupported, "sliding-window attention (" + std::to_string(window) + " of " + std::to_string(c.max_positions) + " positions) is not built yet", where,
                      "Models of the same architecture without a sliding window run");
}

}  // namespace

std::vector<std::string> known_architectures() { return {"LlamaForCausalLM", "MistralForCausalLM"}; }

Result<ModelConfig> read_config(const ModelSource& source) {
    std::string where;
    TENPAK_ASSIGN(const Json j, load_config(source, where));
    ModelConfig c;
    TENPAK_ASSIGN(c.architecture, architecture_of(j, where));
    const auto known = known_architectures();
    if (std::find(known.begin(), known.end(), c.architecture) == known.end()) {
        std::string list;
        for (const auto& k : known) list += (list.empty() ? "" : ", ") + k;
        return make_error(ErrorCode::kUnsupported, "architecture " + c.architecture + " cannot be run yet", where, "Known: " + list);
    }
    TENPAK_ASSIGN(c.model_type, optional_value<std::string>(j, "model_type", "llama", where));
    TENPAK_ASSIGN(const auto act, optional_value<std::string>(j, "hidden_act", "silu", where));
    if (act != "silu" && act != "swish") return make_error(ErrorCode::kUnsupported, "activation \"" + act + "\" cannot be run yet", where, "Known: silu");

    TENPAK_ASSIGN(c.hidden, dimension(j, "hidden_size", 1, 1 << 16, where));
    TENPAK_ASSIGN(c.intermediate, dimension(j, "intermediate_size", 1, 1 << 18, where));
    TENPAK_ASSIGN(c.layers, dimension(j, "num_hidden_layers", 1, 1024, where));
    TENPAK_ASSIGN(c.heads, dimension(j, "num_attention_heads", 1, 1024, where));
    c.kv_heads = c.heads;
    if (present(j, "num_key_value_heads")) {
        TENPAK_ASSIGN(c.kv_heads, dimension(j, "num_key_value_heads", 1, 1024, where));
    }
    TENPAK_ASSIGN(c.vocab, dimension(j, "vocab_size", 1, 1 << 24, where));
    c.max_positions = 2048;
    if (present(j, "max_position_embeddings")) {
        TENPAK_ASSIGN(c.max_positions, dimension(j, "max_position_embeddings", 1, 1 << 28, where));
    }
    if (c.heads % c.kv_heads != 0) {
        return make_error(ErrorCode::kMalformed, std::to_string(c.heads) + " heads cannot share " + std::to_string(c.kv_heads) + " key heads evenly", where);
    }
    if (present(j, "head_dim")) {
        TENPAK_ASSIGN(c.head_dim, dimension(j, "head_dim", 2, 1024, where));
    } else {
        if (c.hidden % c.heads != 0) {
            return make_error(ErrorCode::kMalformed, "hidden_size " + std::to_string(c.hidden) + " is not a multiple of " + std::to_string(c.heads) + " heads", where);
        }
        c.head_dim = c.hidden / c.heads;
    }
    if (c.head_dim % 2 != 0 || c.head_dim > 1024) return make_error(ErrorCode::kMalformed, "head size " + std::to_string(c.head_dim) + " must be even and at most 1024", where);

    TENPAK_ASSIGN(const double eps, optional_value<double>(j, "rms_norm_eps", 1e-6, where));
    if (!(eps > 0 && eps < 1)) return make_error(ErrorCode::kMalformed, "\"rms_norm_eps\" must lie between 0 and 1", where);
    c.rms_eps = static_cast<float>(eps);
    TENPAK_ASSIGN(c.tied_head, optional_value<bool>(j, "tie_word_embeddings", false, where));
    TENPAK_ASSIGN(c.attention_bias, optional_value<bool>(j, "attention_bias", false, where));
    TENPAK_ASSIGN(c.mlp_bias, optional_value<bool>(j, "mlp_bias", false, where));
    TENPAK_ASSIGN(c.bos, token_id(j, "bos_token_id", where));
    TENPAK_ASSIGN(c.eos, token_id(j, "eos_token_id", where));
    TENPAK_RETURN_IF_ERROR(check_sliding_window(j, c, where));
    TENPAK_ASSIGN(c.inv_freq, rope_frequencies(j, c.head_dim, c.max_positions, where));
    return c;
}

std::string architecture_or_unknown(const ModelSource& source) {
    std::string where;
    const auto j = load_config(source, where);
    if (!j.ok()) return "unknown";
    auto a = architecture_of(*j, where);
    return a.ok() ? *a : "unknown";
}

}  // namespace tenpak::model

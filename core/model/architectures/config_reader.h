// SPDX-License-Identifier: Apache-2.0
// Typed, checked access to config.json for the files of this folder.
#pragma once
#include <optional>
#include <string>
#include <vector>

#include "core/base/json.h"
#include "core/model/config.h"

namespace tenpak::model {

class ConfigReader {
   public:
    ConfigReader(const Json& json, std::string where) : j(json), where_(std::move(where)) {}

    const Json& json() const { return j; }
    const std::string& where() const { return where_; }
    bool present(const char* key) const { return j.contains(key) && !j.at(key).is_null(); }
    bool is_null(const char* key) const { return j.contains(key) && j.at(key).is_null(); }
    Error malformed(const std::string& what) const { return make_error(ErrorCode::kMalformed, what, where_); }
    Error unsupported(const std::string& what, const std::string& remedy = {}) const { return make_error(ErrorCode::kUnsupported, what, where_, remedy); }

    /// An integer within what any model has.
    Result<std::uint32_t> dimension(const char* key, std::uint32_t low, std::uint32_t high) const;
    Result<std::uint32_t> dimension(const char* key, std::uint32_t low, std::uint32_t high, std::uint32_t fallback) const;
    template <class T>
    Result<T> value(const char* key, T fallback) const {
        if (!present(key)) return fallback;
        return json_get<T>(j, key, where_);
    }
    /// A cap on scores: null is none (0), an absent one `fallback`.
    Result<float> cap(const char* key, float fallback) const;
    /// "eos_token_id" may be a number or a list of them: the first is taken.
    Result<std::int32_t> token(const char* key) const;
    Result<compute::Activation> activation(const char* key, const char* fallback) const;
    Result<float> epsilon(const char* key, double fallback) const;

    struct Names {
        const char *hidden = "hidden_size", *layers = "num_hidden_layers", *heads = "num_attention_heads", *positions = "max_position_embeddings";
    };
    /// Sizes that every architecture has; head_dim where the file gives one, else hidden / heads.
    Status sizes(ModelConfig& c, const Names& names) const;
    /// The fields that Llama and its kin share, rotary embedding included.
    Status llama_like(ModelConfig& c, const RopeDefaults& rope) const;
    /// layer_kinds with 1/sqrt(head_dim) and no window.
    void plain_layers(ModelConfig& c) const;
    /// "layer_types": true where a layer says "sliding_attention"; empty where the file has none.
    Result<std::vector<bool>> sliding_layers(std::uint32_t layers) const;

   private:
    const Json& j;
    std::string where_;
};

}  // namespace tenpak::model

// SPDX-License-Identifier: Apache-2.0
// config.json of a Hugging Face model, reduced to what the graph needs.
#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "core/base/error.h"
#include "core/tensor/model_source.h"

namespace tenpak::model {

struct ModelConfig {
    std::string architecture;  ///< "LlamaForCausalLM"
    std::string model_type;    ///< "llama"
    std::uint32_t hidden = 0, intermediate = 0, layers = 0, heads = 0, kv_heads = 0, head_dim = 0, vocab = 0;
    std::uint32_t max_positions = 0;
    float rms_eps = 1e-5f;
    std::vector<float> inv_freq;    ///< [head_dim/2], rope scaling already applied
    float attention_factor = 1.0f;
    bool tied_head = false;
    bool attention_bias = false, mlp_bias = false;
    std::int32_t bos = -1, eos = -1;
};

/// kUnsupported for an unknown architecture (the message lists the known ones); kMalformed for impossible numbers.
Result<ModelConfig> read_config(const ModelSource& source);
std::vector<std::string> known_architectures();
/// What `tenpak inspect` and the studio's pair bar show; works for any safetensors, with or without config.json.
std::string architecture_or_unknown(const ModelSource& source);

}  // namespace tenpak::model

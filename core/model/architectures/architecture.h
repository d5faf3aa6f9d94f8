// SPDX-License-Identifier: Apache-2.0
// One entry an architecture: how its config.json becomes a ModelConfig, and how its weights are named. The graph itself is
// one for all (transformer_impl.cpp) and reads what differs from the ModelConfig.
#pragma once
#include <span>

#include "core/model/architectures/config_reader.h"
#include "core/model/layout.h"

namespace tenpak::model {

struct Architecture {
    const char* name;  ///< as in "architectures"
    Status (*read)(const ConfigReader& reader, ModelConfig& config);
    LayerLayout (*layer)(const ModelConfig& config, std::uint32_t index);
    ModelLayout (*outer)(const ModelConfig& config);
};

std::span<const Architecture> architectures();

/// Llama's names: model.layers.N.self_attn.q_proj …, of which the other files of this folder take parts.
LayerLayout llama_layer(const ModelConfig& config, std::uint32_t index);
ModelLayout llama_outer(const ModelConfig& config);

Status read_llama(const ConfigReader& reader, ModelConfig& config);
Status read_mistral(const ConfigReader& reader, ModelConfig& config);
Status read_qwen2(const ConfigReader& reader, ModelConfig& config);
Status read_qwen3(const ConfigReader& reader, ModelConfig& config);
Status read_smollm3(const ConfigReader& reader, ModelConfig& config);
Status read_gemma2(const ConfigReader& reader, ModelConfig& config);
LayerLayout gemma2_layer(const ModelConfig& config, std::uint32_t index);
Status read_phi3(const ConfigReader& reader, ModelConfig& config);
LayerLayout phi3_layer(const ModelConfig& config, std::uint32_t index);
Status read_gpt2(const ConfigReader& reader, ModelConfig& config);
LayerLayout gpt2_layer(const ModelConfig& config, std::uint32_t index);
ModelLayout gpt2_outer(const ModelConfig& config);
Status read_gpt_neox(const ConfigReader& reader, ModelConfig& config);
LayerLayout gpt_neox_layer(const ModelConfig& config, std::uint32_t index);
ModelLayout gpt_neox_outer(const ModelConfig& config);

}  // namespace tenpak::model

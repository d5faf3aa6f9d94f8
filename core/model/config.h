// SPDX-License-Identifier: Apache-2.0
// config.json of a Hugging Face model, reduced to what the graph needs.
#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "core/base/error.h"
#include "core/compute/backend.h"
#include "core/model/rope_frequencies.h"
#include "core/tensor/model_source.h"

namespace tenpak::model {

struct Architecture;

enum class NormKind : std::uint8_t {
    kRms,            ///< x / rms(x) * w
    kRmsUnitOffset,  ///< x / rms(x) * (1 + w): Gemma
    kLayer,          ///< (x - mean) / deviation * w + b
};

/// What may differ from one layer of a model to the next.
struct LayerKind {
    std::uint32_t window = 0;   ///< 0: attention over all earlier positions; else over the last `window` ones
    bool rotary = true;         ///< queries and keys are rotated (not in SmolLM3's NoPE layers)
    float attention_scale = 0;  ///< of q.k
};

struct ModelConfig {
    std::string architecture;  ///< "LlamaForCausalLM"
    std::string model_type;    ///< "llama"
    std::uint32_t hidden = 0, intermediate = 0, layers = 0, heads = 0, kv_heads = 0, head_dim = 0, vocab = 0;
    std::uint32_t max_positions = 0;

    NormKind norm = NormKind::kRms;
    float norm_eps = 1e-5f;
    compute::Activation activation = compute::Activation::kSilu;
    bool gated = true;              ///< MLP: down(activation(gate x) * up x); else down(activation(up x))
    bool parallel_residual = false; ///< attention and MLP both see the layer's input (GPT-NeoX)
    bool post_norms = false;        ///< norms behind attention and MLP too (Gemma 2)
    bool qk_norm = false;           ///< queries and keys are normed head by head (Qwen 3)
    bool learned_positions = false; ///< a vector a position is added to the embedding (GPT-2)
    float embedding_scale = 1, attention_softcap = 0, logit_softcap = 0;  ///< softcap 0: none
    std::vector<LayerKind> layer_kinds;  ///< [layers]
    Rope rope;                           ///< rope.dim 0: none
    bool tied_head = false;
    bool qkv_bias = false, o_bias = false, mlp_bias = false;
    std::string prefix;  ///< in front of all tensor names but the head's: "model."
    std::int32_t bos = -1, eos = -1;
    const Architecture* family = nullptr;  ///< how its weights are named
};

/// kUnsupported for an unknown architecture (the message lists the known ones) or feature; kMalformed for impossible
/// numbers. Configurations of transformers 4 and 5 are read alike.
Result<ModelConfig> read_config(const ModelSource& source);
std::vector<std::string> known_architectures();
/// What `tenpak inspect` and the studio's pair bar show; works for any safetensors, with or without config.json.
std::string architecture_or_unknown(const ModelSource& source);

}  // namespace tenpak::model

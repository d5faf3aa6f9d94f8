// SPDX-License-Identifier: Apache-2.0
// How llama.cpp names and orders what Hugging Face models hold, one entry an architecture (gguf-py/gguf/tensor_mapping.py and
// the conversion of each architecture in llama.cpp). Export and import read the same table.
#pragma once
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

namespace tenpak::quant {

struct GgufName {
    const char *hf, *gguf;  ///< without ".weight" or ".bias"
};

struct GgufFamily {
    const char* hf;          ///< "LlamaForCausalLM"
    const char* gguf;        ///< "llama": general.architecture
    const char* model_type;  ///< "llama"
    const char* prefix;      ///< "model.": in front of all names but the head's
    const char* stack;       ///< "layers": layers are prefix + stack + ".N."
    std::span<const GgufName> layer;
    std::span<const GgufName> outer;  ///< the head's has no prefix
    const char* head;                 ///< "lm_head"
    bool interleaved = false;  ///< rotary pairs are neighbours in llama.cpp, halves of the head in Hugging Face: rows of q and k move
    bool unit_offset = false;  ///< norms are stored as w in llama.cpp, as w - 1 in Hugging Face (Gemma)
    bool fused_by_head = false;  ///< rows of query_key_value are ordered head by head in Hugging Face (GPT-NeoX)
    bool transposed = false;     ///< linear weights of layers are [in][out] in Hugging Face (GPT-2)
    bool layer_norm = false;     ///< LayerNorm, not RMSNorm
};

/// Null for one that is not known.
const GgufFamily* gguf_family_of(std::string_view hf_architecture);
/// The first that has this general.architecture.
const GgufFamily* gguf_family_named(std::string_view gguf_architecture);
std::string known_gguf_architectures();

/// "model.layers.3.mlp.up_proj.weight" <-> "blk.3.ffn_up.weight". `prefix`: the checkpoint's own (bare ones have none).
std::optional<std::string> gguf_name(const GgufFamily& family, std::string_view hf, std::string_view prefix);
std::optional<std::string> hf_name(const GgufFamily& family, std::string_view gguf);

/// The order of a weight's rows.
struct GgufRows {
    enum class Order : std::uint8_t { kSame, kInterleaved, kByHead };
    Order order = Order::kSame;
    std::uint32_t heads = 0, head_dim = 0;
    std::uint32_t hf_row(std::uint32_t gguf_row) const;
    std::uint32_t gguf_row(std::uint32_t hf_row) const;
};
/// Of the tensor with this GGUF name.
GgufRows gguf_rows(const GgufFamily& family, std::string_view gguf, std::uint32_t heads, std::uint32_t kv_heads, std::uint32_t head_dim);

}  // namespace tenpak::quant

// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <array>
#include <charconv>
#include <tuple>

#include "core/tensor/model_source.h"

namespace tenpak {
namespace {

template <std::size_t N>
bool any_of(const std::array<std::string_view, N>& list, std::string_view s) {
    return std::find(list.begin(), list.end(), s) != list.end();
}
// Names of the stack of layers in the families at hand: Llama and kin, GPT-2, BERT, Mamba, MPT.
constexpr std::array<std::string_view, 5> kStacks{"layers", "h", "layer", "blocks", "block"};
// What stands behind the projection's name: parameter kinds of plain, quantized and adapter checkpoints.
constexpr std::array<std::string_view, 18> kParameters{
    "weight", "bias", "qweight", "qzeros", "scales", "g_idx", "weight_packed", "weight_scale", "weight_zero_point",
    "weight_shape", "input_scale", "absmax", "quant_map", "lora_A", "lora_B", "base_layer", "default", "weight_g_idx"};
constexpr std::array<std::string_view, 7> kEmbeddings{"embed_tokens", "wte", "wpe", "word_embeddings", "tok_embeddings",
                                                      "embed_in", "embeddings"};
constexpr std::array<std::string_view, 5> kNorms{"norm", "ln_f", "final_layernorm", "final_layer_norm", "norm_f"};
constexpr std::array<std::string_view, 3> kHeads{"lm_head", "output", "embed_out"};

}  // namespace

TensorPlace tensor_place(std::string_view name) {
    TensorPlace place;
    std::string_view before;
    std::vector<std::string_view> parts;
    for (std::size_t start = 0; start <= name.size();) {
        const std::size_t end = std::min(name.find('.', start), name.size());
        const std::string_view part = name.substr(start, end - start);
        if (place.layer < 0 && !part.empty() && part.size() <= 5 && any_of(kStacks, before)) {
            int n = 0;
            const auto [p, ec] = std::from_chars(part.data(), part.data() + part.size(), n);
            if (ec == std::errc() && p == part.data() + part.size() && n >= 0) place.layer = n;
        }
        parts.push_back(part);
        before = part;
        start = end + 1;
    }
    while (parts.size() > 1 && any_of(kParameters, parts.back())) parts.pop_back();
    place.projection = std::string(parts.back());
    return place;
}

std::string tensor_part(std::string_view name) {
    const TensorPlace place = tensor_place(name);
    if (place.layer >= 0) return "layers." + std::to_string(place.layer);
    if (any_of(kEmbeddings, place.projection)) return "embeddings";
    if (any_of(kNorms, place.projection)) return "norm";
    if (any_of(kHeads, place.projection)) return "head";
    return "other";
}

std::vector<std::uint32_t> layer_order(const std::vector<TensorInfo>& tensors) {
    using Key = std::tuple<int, int, std::string_view, std::uint32_t>;  // group, layer, name, index
    std::vector<Key> keys;
    keys.reserve(tensors.size());
    for (std::uint32_t i = 0; i < tensors.size(); ++i) {
        const TensorPlace place = tensor_place(tensors[i].name);
        int group = 4;
        if (place.layer >= 0) group = 1;
        else if (any_of(kEmbeddings, place.projection)) group = 0;
        else if (any_of(kNorms, place.projection)) group = 2;
        else if (any_of(kHeads, place.projection)) group = 3;
        keys.emplace_back(group, place.layer, tensors[i].name, i);
    }
    std::sort(keys.begin(), keys.end());
    std::vector<std::uint32_t> order;
    order.reserve(keys.size());
    for (const Key& k : keys) order.push_back(std::get<3>(k));
    return order;
}

}  // namespace tenpak

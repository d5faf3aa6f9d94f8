// SPDX-License-Identifier: Apache-2.0
// Small model directories with a base and fine-tunes of it, for tests of pairing, compressing and estimating.
#pragma once
#include <map>
#include <string>
#include <vector>

#include "core/tensor/model_source.h"
#include "tests/core/delta/synthetic.h"
#include "tests/support/temp_dir.h"

namespace tenpak::test {

struct PairShape {
    unsigned layers = 3, hidden = 64, vocabulary = 300;
    DType dtype = DType::kBF16;
    double alpha = 0.01;
    unsigned seed = 1;
    bool freeze_embeddings = false;  ///< the embedding is identical in both
    unsigned shards = 1;
};

/// Writes DIR/base and DIR/ft, each with config.json and a tokenizer.json; returns nothing, the paths are fixed.
inline void write_model_pair(const std::filesystem::path& dir, const PairShape& s) {
    std::vector<std::tuple<std::string, std::vector<std::uint64_t>, double>> list{{"model.embed_tokens.weight", {s.vocabulary, s.hidden}, s.freeze_embeddings ? 0 : s.alpha}};
    for (unsigned l = 0; l < s.layers; ++l) {
        const std::string p = "model.layers." + std::to_string(l) + ".";
        for (const char* q : {"q_proj", "k_proj", "v_proj", "o_proj"}) list.push_back({p + "self_attn." + q + ".weight", {s.hidden, s.hidden}, s.alpha * (1 + 0.2 * l)});
        list.push_back({p + "mlp.up_proj.weight", {4 * s.hidden, s.hidden}, s.alpha});
        list.push_back({p + "input_layernorm.weight", {s.hidden}, s.alpha});
    }
    list.push_back({"model.norm.weight", {s.hidden}, s.alpha});
    std::vector<Bytes> data[2];
    unsigned seed = s.seed * 1000;
    for (const auto& [name, shape, alpha] : list) {
        auto p = shape.size() == 2 ? synthetic_pair(shape[0], shape[1], alpha, s.dtype, ++seed) : synthetic_pair(1, shape[0], alpha, s.dtype, ++seed);
        if (alpha == 0) p.second = p.first;
        data[0].push_back(std::move(p.first));
        data[1].push_back(std::move(p.second));
    }
    for (int m = 0; m < 2; ++m) {
        const auto folder = dir / (m == 0 ? "base" : "ft");
        std::filesystem::create_directories(folder);
        std::string map;
        for (unsigned shard = 0; shard < s.shards; ++shard) {
            char name[64] = "model.safetensors";
            if (s.shards > 1) std::snprintf(name, sizeof name, "model-%05u-of-%05u.safetensors", shard + 1, s.shards);
            std::vector<TensorToWrite> tensors;
            for (std::size_t i = shard; i < list.size(); i += s.shards) {
                tensors.push_back({std::get<0>(list[i]), s.dtype, std::get<1>(list[i]), data[m][i]});
                map += (map.empty() ? "\"" : ",\"") + std::get<0>(list[i]) + "\":\"" + name + "\"";
            }
            const Status written = write_safetensors(folder / name, std::move(tensors));
            if (!written.ok()) throw std::runtime_error(written.error().text());
        }
        if (s.shards > 1) std::ofstream(folder / "model.safetensors.index.json") << "{\"metadata\":{},\"weight_map\":{" << map << "}}";
        std::ofstream(folder / "config.json") << "{\"architectures\":[\"LlamaForCausalLM\"],\"hidden_size\":" << s.hidden << "}\n";
        std::ofstream tokenizer(folder / "tokenizer.json");
        for (unsigned i = 0; i < 400; ++i) tokenizer << "{\"id\":" << i << ",\"content\":\"token" << i * 7919 % 1000 << "\"},\n";
    }
}

/// Relative path -> content of every file below `dir`.
inline std::map<std::string, std::string> read_tree(const std::filesystem::path& dir) {
    std::map<std::string, std::string> tree;
    for (const auto& e : std::filesystem::recursive_directory_iterator(dir)) {
        if (!e.is_regular_file()) continue;
        std::ifstream in(e.path(), std::ios::binary);
        tree[std::filesystem::relative(e.path(), dir).string()] = std::string(std::istreambuf_iterator<char>(in), {});
    }
    return tree;
}

}  // namespace tenpak::test

// SPDX-License-Identifier: Apache-2.0
// A small Llama-layout directory with made-up weights: 2 layers, hidden 64, MLP width `intermediate`.
#pragma once
#include <cstring>
#include <random>
#include <string>
#include <vector>

#include "core/base/half.h"
#include "core/tensor/model_source.h"
#include "tests/support/temp_dir.h"

namespace tenpak::test {

struct TinyModel {
    std::uint32_t hidden = 64, intermediate = 160, heads = 4, kv_heads = 2, layers = 2, vocab = 96, max_positions = 128;
    bool tied = true;
    DType dtype = DType::kBF16;
    float poison = 0;  ///< written into one weight of layer 1's up_proj if not 0

    /// Writes the directory; the caller opens it.
    std::filesystem::path write(const TempDir& dir, const std::string& name) const {
        std::mt19937 rng(7);
        std::vector<Bytes> data;
        std::vector<TensorToWrite> tensors;
        const auto add = [&](const std::string& tensor, std::vector<std::uint64_t> shape, bool norm) {
            std::uint64_t count = 1;
            for (const auto d : shape) count *= d;
            Bytes b(count * dtype_bits(dtype) / 8);
            for (std::uint64_t i = 0; i < count; ++i) {
                // Sum of uniform values, so that the numbers are the same with every standard library.
                double v = 0;
                for (int j = 0; j < 4; ++j) v += static_cast<double>(rng() % 10001) / 10000.0 - 0.5;
                float f = static_cast<float>(norm ? 1 + 0.3 * v : 0.12 * v);
                if (poison != 0 && i == 5 && tensor == "model.layers.1.mlp.up_proj.weight") f = poison;
                if (dtype == DType::kF32) {
                    std::memcpy(b.data() + i * 4, &f, 4);
                } else {
                    const std::uint16_t h = dtype == DType::kF16 ? float_to_fp16(f) : float_to_bf16(f);
                    std::memcpy(b.data() + i * 2, &h, 2);
                }
            }
            data.push_back(std::move(b));
            tensors.push_back({tensor, dtype, std::move(shape), {}});
        };
        const std::uint64_t head_dim = hidden / heads;
        add("model.embed_tokens.weight", {vocab, hidden}, false);
        for (std::uint32_t l = 0; l < layers; ++l) {
            const std::string p = "model.layers." + std::to_string(l) + ".";
            add(p + "input_layernorm.weight", {hidden}, true);
            add(p + "self_attn.q_proj.weight", {heads * head_dim, hidden}, false);
            add(p + "self_attn.k_proj.weight", {kv_heads * head_dim, hidden}, false);
            add(p + "self_attn.v_proj.weight", {kv_heads * head_dim, hidden}, false);
            add(p + "self_attn.o_proj.weight", {hidden, heads * head_dim}, false);
            add(p + "post_attention_layernorm.weight", {hidden}, true);
            add(p + "mlp.gate_proj.weight", {intermediate, hidden}, false);
            add(p + "mlp.up_proj.weight", {intermediate, hidden}, false);
            add(p + "mlp.down_proj.weight", {hidden, intermediate}, false);
        }
        add("model.norm.weight", {hidden}, true);
        if (!tied) add("lm_head.weight", {vocab, hidden}, false);
        for (std::size_t i = 0; i < tensors.size(); ++i) tensors[i].data = data[i];
        const auto path = dir / name;
        std::filesystem::create_directories(path);
        const Status s = write_safetensors(path / "model.safetensors", tensors);
        if (!s.ok()) throw std::runtime_error(s.error().text());
        const char* type = dtype == DType::kF32 ? "float32" : dtype == DType::kF16 ? "float16" : "bfloat16";
        dir.write(name + "/config.json", R"({"architectures":["LlamaForCausalLM"],"model_type":"llama","hidden_act":"silu","hidden_size":)" +
            std::to_string(hidden) + R"(,"intermediate_size":)" + std::to_string(intermediate) + R"(,"num_attention_heads":)" + std::to_string(heads) +
            R"(,"num_key_value_heads":)" + std::to_string(kv_heads) + R"(,"num_hidden_layers":)" + std::to_string(layers) + R"(,"vocab_size":)" +
            std::to_string(vocab) + R"(,"max_position_embeddings":)" + std::to_string(max_positions) + R"(,"rms_norm_eps":1e-05,"rope_theta":10000.0,"tie_word_embeddings":)" +
            (tied ? "true" : "false") + R"(,"torch_dtype":")" + type + "\"}");
        dir.write(name + "/generation_config.json", "{\"do_sample\": false}\n");
        return path;
    }
};

}  // namespace tenpak::test

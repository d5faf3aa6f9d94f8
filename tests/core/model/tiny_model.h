// SPDX-License-Identifier: Apache-2.0
// A random Llama of a few thousand weights, written as a Hugging Face directory, and its forward pass in double precision
// as plain loops: what the engine must compute.
#pragma once
#include <cmath>
#include <map>
#include <random>
#include <string>
#include <vector>

#include "core/base/half.h"
#include "core/base/json.h"
#include "core/tensor/model_source.h"
#include "tests/support/temp_dir.h"

namespace tenpak::test {

struct TinyShape {
    std::uint32_t hidden = 48, intermediate = 112, layers = 3, heads = 6, kv_heads = 2, head_dim = 8, vocab = 101, positions = 64;
    bool tied = true, attention_bias = false, mlp_bias = false;
    DType dtype = DType::kBF16;
    Json extra = Json::object();  ///< merged into config.json
};

struct TinyModel {
    TinyShape shape;
    Json config;
    std::map<std::string, std::vector<float>> tensors;  ///< as stored (rounded to the dtype)
    std::map<std::string, std::vector<std::uint64_t>> shapes;

    explicit TinyModel(const TinyShape& s, unsigned seed = 1) : shape(s) {
        config = {{"architectures", {"LlamaForCausalLM"}}, {"model_type", "llama"}, {"hidden_size", s.hidden}, {"intermediate_size", s.intermediate},
                  {"num_hidden_layers", s.layers}, {"num_attention_heads", s.heads}, {"num_key_value_heads", s.kv_heads}, {"head_dim", s.head_dim},
                  {"vocab_size", s.vocab}, {"max_position_embeddings", s.positions}, {"rms_norm_eps", 1e-5}, {"rope_theta", 10000.0},
                  {"hidden_act", "silu"}, {"tie_word_embeddings", s.tied}, {"attention_bias", s.attention_bias}, {"mlp_bias", s.mlp_bias}};
        config.update(s.extra);
        std::mt19937 rng(seed);
        const auto make = [&](const std::string& name, std::vector<std::uint64_t> dims, float mean, float sigma) {
            std::uint64_t n = 1;
            for (const auto d : dims) n *= d;
            std::normal_distribution<float> dist(mean, sigma);
            auto& v = tensors[name];
            for (std::uint64_t i = 0; i < n; ++i) {
                const float f = dist(rng);
                v.push_back(s.dtype == DType::kBF16 ? bf16_to_float(float_to_bf16(f)) : s.dtype == DType::kF16 ? fp16_to_float(float_to_fp16(f)) : f);
            }
            shapes[name] = std::move(dims);
        };
        const std::uint32_t q = s.heads * s.head_dim, kv = s.kv_heads * s.head_dim;
        make("model.embed_tokens.weight", {s.vocab, s.hidden}, 0, 1);
        make("model.norm.weight", {s.hidden}, 1, 0.2f);
        if (!s.tied) make("lm_head.weight", {s.vocab, s.hidden}, 0, 0.15f);
        for (std::uint32_t l = 0; l < s.layers; ++l) {
            const std::string p = "model.layers." + std::to_string(l) + ".";
            make(p + "input_layernorm.weight", {s.hidden}, 1, 0.2f);
            make(p + "post_attention_layernorm.weight", {s.hidden}, 1, 0.2f);
            const auto linear = [&](const char* name, std::uint32_t n, std::uint32_t k, bool bias) {
                make(p + name + ".weight", {n, k}, 0, 1 / std::sqrt(static_cast<float>(k)));
                if (bias) make(p + name + ".bias", {n}, 0, 0.3f);
            };
            linear("self_attn.q_proj", q, s.hidden, s.attention_bias);
            linear("self_attn.k_proj", kv, s.hidden, s.attention_bias);
            linear("self_attn.v_proj", kv, s.hidden, s.attention_bias);
            linear("self_attn.o_proj", s.hidden, q, s.attention_bias);
            linear("mlp.gate_proj", s.intermediate, s.hidden, s.mlp_bias);
            linear("mlp.up_proj", s.intermediate, s.hidden, s.mlp_bias);
            linear("mlp.down_proj", s.hidden, s.intermediate, s.mlp_bias);
        }
    }

    void write(const std::filesystem::path& dir) const {
        std::filesystem::create_directories(dir);
        std::vector<std::vector<std::byte>> data;
        std::vector<TensorToWrite> list;
        data.reserve(tensors.size());
        for (const auto& [name, values] : tensors) {
            std::vector<std::byte> bytes;
            const auto put = [&](const auto& v) {
                const auto raw = std::as_bytes(std::span(&v, 1));
                bytes.insert(bytes.end(), raw.begin(), raw.end());
            };
            for (const float f : values) {
                if (shape.dtype == DType::kF32) put(f);
                else put(shape.dtype == DType::kBF16 ? float_to_bf16(f) : float_to_fp16(f));
            }
            data.push_back(std::move(bytes));
            list.push_back({name, shape.dtype, shapes.at(name), data.back()});
        }
        const auto written = write_safetensors(dir / "model.safetensors", list);
        if (!written.ok()) throw std::runtime_error(written.error().text());
        std::ofstream(dir / "config.json") << config.dump(1);
    }

    /// Logits [tokens][vocab] of one sequence from position 0.
    std::vector<double> logits(const std::vector<std::int32_t>& tokens) const {
        using Rows = std::vector<std::vector<double>>;
        const auto& s = shape;
        const auto get = [&](const std::string& n) -> const std::vector<float>& { return tensors.at(n); };
        const auto norm = [&](const Rows& x, const std::vector<float>& w) {
            Rows y = x;
            for (auto& row : y) {
                double sq = 0;
                for (const double v : row) sq += v * v;
                const double inv = 1 / std::sqrt(sq / static_cast<double>(row.size()) + 1e-5);
                for (std::size_t c = 0; c < row.size(); ++c) row[c] *= inv * double{w[c]};
            }
            return y;
        };
        const auto linear = [&](const Rows& x, const std::string& name, std::size_t n) {
            const auto& w = get(name + ".weight");
            const std::size_t k = x[0].size();
            const auto bias = tensors.find(name + ".bias");
            Rows y(x.size(), std::vector<double>(n));
            for (std::size_t t = 0; t < x.size(); ++t) {
                for (std::size_t r = 0; r < n; ++r) {
                    double v = bias == tensors.end() ? 0.0 : double{bias->second[r]};
                    for (std::size_t c = 0; c < k; ++c) v += double{w[r * k + c]} * x[t][c];
                    y[t][r] = v;
                }
            }
            return y;
        };
        const auto rotate = [&](Rows& x, std::size_t heads) {
            for (std::size_t t = 0; t < x.size(); ++t) {
                for (std::size_t h = 0; h < heads; ++h) {
                    for (std::size_t i = 0; i < s.head_dim / 2; ++i) {
                        const double a = static_cast<double>(t) * std::pow(10000.0, -2.0 * static_cast<double>(i) / s.head_dim);
                        double &u = x[t][h * s.head_dim + i], &v = x[t][h * s.head_dim + s.head_dim / 2 + i];
                        const double nu = u * std::cos(a) - v * std::sin(a), nv = v * std::cos(a) + u * std::sin(a);
                        u = nu;
                        v = nv;
                    }
                }
            }
        };
        Rows x;
        for (const auto t : tokens) {
            const float* row = get("model.embed_tokens.weight").data() + static_cast<std::size_t>(t) * s.hidden;
            x.emplace_back(row, row + s.hidden);
        }
        for (std::uint32_t l = 0; l < s.layers; ++l) {
            const std::string p = "model.layers." + std::to_string(l) + ".";
            const Rows h = norm(x, get(p + "input_layernorm.weight"));
            Rows q = linear(h, p + "self_attn.q_proj", s.heads * s.head_dim), k = linear(h, p + "self_attn.k_proj", s.kv_heads * s.head_dim);
            const Rows v = linear(h, p + "self_attn.v_proj", s.kv_heads * s.head_dim);
            rotate(q, s.heads);
            rotate(k, s.kv_heads);
            Rows a(x.size(), std::vector<double>(s.heads * s.head_dim));
            for (std::size_t t = 0; t < x.size(); ++t) {
                for (std::size_t hd = 0; hd < s.heads; ++hd) {
                    const std::size_t g = hd / (s.heads / s.kv_heads);
                    std::vector<double> w(t + 1);
                    double total = 0;
                    for (std::size_t i = 0; i <= t; ++i) {
                        for (std::size_t d = 0; d < s.head_dim; ++d) w[i] += q[t][hd * s.head_dim + d] * k[i][g * s.head_dim + d];
                        total += w[i] = std::exp(w[i] / std::sqrt(static_cast<double>(s.head_dim)));
                    }
                    for (std::size_t i = 0; i <= t; ++i) {
                        for (std::size_t d = 0; d < s.head_dim; ++d) a[t][hd * s.head_dim + d] += w[i] / total * v[i][g * s.head_dim + d];
                    }
                }
            }
            const auto accumulate = [&](const Rows& y) {
                for (std::size_t t = 0; t < x.size(); ++t) {
                    for (std::size_t c = 0; c < s.hidden; ++c) x[t][c] += y[t][c];
                }
            };
            accumulate(linear(a, p + "self_attn.o_proj", s.hidden));
            const Rows h2 = norm(x, get(p + "post_attention_layernorm.weight"));
            Rows gate = linear(h2, p + "mlp.gate_proj", s.intermediate);
            const Rows up = linear(h2, p + "mlp.up_proj", s.intermediate);
            for (std::size_t t = 0; t < x.size(); ++t) {
                for (std::size_t c = 0; c < s.intermediate; ++c) gate[t][c] = gate[t][c] / (1 + std::exp(-gate[t][c])) * up[t][c];
            }
            accumulate(linear(gate, p + "mlp.down_proj", s.hidden));
        }
        const Rows y = linear(norm(x, get("model.norm.weight")), s.tied ? "model.embed_tokens" : "lm_head", s.vocab);
        std::vector<double> out;
        for (const auto& row : y) out.insert(out.end(), row.begin(), row.end());
        return out;
    }
};

inline std::vector<std::int32_t> random_tokens(std::size_t n, std::uint32_t vocab, unsigned seed) {
    std::mt19937 rng(seed);
    std::vector<std::int32_t> t(n);
    for (auto& v : t) v = static_cast<std::int32_t>(rng() % vocab);
    return t;
}

}  // namespace tenpak::test

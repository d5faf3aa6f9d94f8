// SPDX-License-Identifier: Apache-2.0
#include "tests/bench/synth.h"

#include <array>
#include <bit>
#include <cmath>
#include <cstring>
#include <fstream>
#include <random>

#include "core/base/half.h"
#include "core/base/json.h"

namespace tenpak::bench {

namespace {

/// Inverse of the normal distribution by bisection on erfc: made once for the table.
float quantile(double p) {
    double low = -8, high = 8;
    for (int i = 0; i < 60; ++i) {
        const double x = (low + high) / 2;
        (std::erfc(-x / std::sqrt(2.0)) / 2 < p ? low : high) = x;
    }
    return static_cast<float>(low);
}

class Normals {
 public:
    Normals(std::uint64_t seed, bool quick) : g_(seed), quick_(quick) {
        if (!quick_) return;
        table_.resize(65536);
        for (std::size_t i = 0; i < table_.size(); ++i) table_[i] = quantile((static_cast<double>(i) + .5) / 65536);
    }
    float operator()() {
        if (!quick_) return normal_(g_);
        if (left_ == 0) {
            bits_ = g_();
            left_ = 4;
        }
        const float f = table_[bits_ & 0xffffu];
        bits_ >>= 16;
        --left_;
        return f;
    }
    std::vector<float> scales(std::uint64_t n) {
        std::vector<float> s(n);
        for (float& x : s) x = std::exp(0.25f * (*this)());
        return s;
    }

 private:
    std::mt19937_64 g_;
    std::normal_distribution<float> normal_{0, 1};
    bool quick_;
    std::vector<float> table_;
    std::uint64_t bits_ = 0;
    unsigned left_ = 0;
};

float as_bf16(float f) { return bf16_to_float(float_to_bf16(f)); }
float rounded(float f, DType t) {
    return t == DType::kF32 ? f : t == DType::kBF16 ? as_bf16(f) : fp16_to_float(float_to_fp16(f));
}
void store(std::byte* at, float f, DType t) {
    if (t == DType::kF32) {
        std::memcpy(at, &f, 4);
        return;
    }
    const std::uint16_t h = t == DType::kBF16 ? float_to_bf16(f) : float_to_fp16(f);
    std::memcpy(at, &h, 2);
}

/// The low-rank update of one tensor, a row at a time.
class LowRank {
 public:
    LowRank(const Shape& s, const Synth& what, Normals& n) : rank_(what.rank), columns_(s.columns), merge_(what.merge) {
        double norm = 0;
        std::vector<float> spectrum(rank_);
        for (unsigned c = 0; c < rank_; ++c) {
            spectrum[c] = static_cast<float>(std::pow(.9, c));
            norm += std::pow(.81, c);
        }
        a_.resize(s.rows * rank_);
        b_.resize(rank_ * s.columns);  // by factor, so that a row of the product runs over it in order
        for (std::size_t i = 0; i < a_.size(); ++i) a_[i] = n() * spectrum[i % rank_];
        for (float& x : b_) x = n();
        if (merge_ == Merge::kBf16) {
            for (float& x : a_) x = as_bf16(x);
            for (float& x : b_) x = as_bf16(x);
        }
        scale_ = static_cast<float>(what.alpha * .02 / std::sqrt(norm));
    }
    void row(std::uint64_t r, std::vector<float>& out) const {
        out.assign(columns_, 0);
        for (unsigned c = 0; c < rank_; ++c) {
            const float f = a_[r * rank_ + c];
            const float* b = b_.data() + c * columns_;
            for (std::uint64_t j = 0; j < columns_; ++j) out[j] += f * b[j];
        }
        for (float& x : out) x = merge_ == Merge::kBf16 ? as_bf16(x * scale_) : x * scale_;
    }

 private:
    unsigned rank_;
    std::uint64_t columns_;
    Merge merge_;
    float scale_ = 0;
    std::vector<float> a_, b_;
};

std::string header(const Synth& what) {
    OrderedJson j;
    const std::uint64_t width = dtype_bits(what.dtype) / 8;
    std::uint64_t at = 0;
    for (const Shape& s : what.shapes) {
        const std::uint64_t n = s.rows * s.columns * width;
        j[s.name] = {{"dtype", std::string(dtype_name(what.dtype))},
                     {"shape", s.rows == 1 ? OrderedJson::array({s.columns}) : OrderedJson::array({s.rows, s.columns})},
                     {"data_offsets", {at, at + n}}};
        at += n;
    }
    std::string text = j.dump();
    text.resize((text.size() + 7) / 8 * 8, ' ');
    const std::uint64_t n = text.size();
    std::string all(8, '\0');
    std::memcpy(all.data(), &n, 8);
    return all + text;
}

}  // namespace

std::vector<Shape> llama_shapes(std::uint64_t bytes) {
    constexpr std::uint64_t kHidden = 2048, kInner = 8192, kKeys = 512, kVocabulary = 32000;
    constexpr std::uint64_t kLayer = 2 * kHidden * kHidden + 2 * kKeys * kHidden + 3 * kInner * kHidden + 2 * kHidden;
    std::vector<Shape> s{{"model.embed_tokens.weight", kVocabulary, kHidden, false}};
    const std::uint64_t embedding = kVocabulary * kHidden;
    const std::uint64_t layers =
        std::max<std::uint64_t>(1, bytes / 2 > embedding ? (bytes / 2 - embedding + kLayer - 1) / kLayer : 1);
    for (std::uint64_t i = 0; i < layers; ++i) {
        const std::string p = "model.layers." + std::to_string(i) + ".";
        s.push_back({p + "input_layernorm.weight", 1, kHidden, false});
        s.push_back({p + "mlp.down_proj.weight", kHidden, kInner});
        s.push_back({p + "mlp.gate_proj.weight", kInner, kHidden});
        s.push_back({p + "mlp.up_proj.weight", kInner, kHidden});
        s.push_back({p + "post_attention_layernorm.weight", 1, kHidden, false});
        s.push_back({p + "self_attn.k_proj.weight", kKeys, kHidden});
        s.push_back({p + "self_attn.o_proj.weight", kHidden, kHidden});
        s.push_back({p + "self_attn.q_proj.weight", kHidden, kHidden});
        s.push_back({p + "self_attn.v_proj.weight", kKeys, kHidden});
    }
    s.push_back({"model.norm.weight", 1, kHidden, false});
    return s;
}

Status write_pair(const fs::path& folder, const Synth& what) {
    const std::size_t width = dtype_bits(what.dtype) / 8;
    const std::string head = header(what);
    std::array<std::ofstream, 2> files;
    for (std::size_t m = 0; m < 2; ++m) {
        const fs::path dir = folder / (m == 0 ? "base" : "ft");
        fs::create_directories(dir);
        files[m].open(dir / "model.safetensors", std::ios::binary);
        files[m].write(head.data(), static_cast<std::streamsize>(head.size()));
        std::ofstream(dir / "config.json") << "{\"architectures\": [\"LlamaForCausalLM\"], \"model_type\": \"llama\", "
                                              "\"tie_word_embeddings\": true}\n";
    }
    Normals n(what.seed, what.quick_normals);
    for (const Shape& s : what.shapes) {
        const auto row = n.scales(s.rows), column = n.scales(s.columns), row_d = n.scales(s.rows),
                   column_d = n.scales(s.columns);
        const bool low_rank = what.merge != Merge::kNone && s.linear;
        const bool changes = what.merge == Merge::kNone || s.linear;
        std::unique_ptr<LowRank> update;
        if (low_rank) update = std::make_unique<LowRank>(s, what, n);
        std::array<Bytes, 2> line;
        line[0].resize(s.columns * width);
        line[1].resize(s.columns * width);
        std::vector<float> delta(s.columns);
        for (std::uint64_t i = 0; i < s.rows; ++i) {
            if (low_rank) {
                update->row(i, delta);
            } else if (changes) {
                for (std::uint64_t j = 0; j < s.columns; ++j)
                    delta[j] = static_cast<float>(what.alpha) * 0.02f * row_d[i] * column_d[j] * n();
            }
            for (std::uint64_t j = 0; j < s.columns; ++j) {
                const float w = rounded(0.02f * row[i] * column[j] * n(), what.dtype);
                store(line[0].data() + j * width, w, what.dtype);
                store(line[1].data() + j * width, w + delta[j], what.dtype);
            }
            for (std::size_t m = 0; m < 2; ++m)
                files[m].write(reinterpret_cast<const char*>(line[m].data()),
                               static_cast<std::streamsize>(line[m].size()));
        }
    }
    for (auto& f : files)
        if (!f.flush()) return make_error(ErrorCode::kIo, "cannot write the pair", folder.string());
    return {};
}

}  // namespace tenpak::bench

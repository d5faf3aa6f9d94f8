// SPDX-License-Identifier: Apache-2.0
// Tensors found under other names, in other places, sizes and types: which tensor predicts, and that all comes back.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <fstream>
#include <numeric>

#include "core/delta/compress.h"
#include "core/delta/match_names.h"
#include "core/delta/match_sketch.h"
#include "core/delta/nf4.h"
#include "core/delta/pair.h"
#include "core/delta/reconstruct.h"
#include "core/delta/transform.h"
#include "tests/core/delta/memory_blocks.h"
#include "tests/core/delta/model_pair.h"

namespace tenpak::delta {
namespace {

using test::MemoryBlocks;
using test::TempDir;

struct Tensor {
    std::string name;
    std::vector<std::uint64_t> shape;
    std::vector<float> weights;
    DType dtype = DType::kBF16;
};
using Model = std::vector<Tensor>;

std::vector<float> random_weights(std::size_t n, unsigned seed, float mean = 0) {
    std::mt19937_64 g(seed);
    std::normal_distribution<float> d(mean, 0.02f);
    std::vector<float> v(n);
    for (float& x : v) x = test::rounded(d(g), DType::kBF16);
    return v;
}
/// A small change of each weight.
std::vector<float> tuned(std::vector<float> v, unsigned seed, float size = 0.0002f) {
    std::mt19937_64 g(seed);
    std::normal_distribution<float> d(0, size);
    for (float& x : v) x = test::rounded(x + d(g), DType::kBF16);
    return v;
}

constexpr unsigned kHidden = 64, kVocabulary = 200, kLayers = 4;

Model base_model(bool head = true) {
    Model m{{"model.embed_tokens.weight", {kVocabulary, kHidden}, random_weights(kVocabulary * kHidden, 1)}};
    unsigned seed = 10;
    for (unsigned l = 0; l < kLayers; ++l) {
        const std::string p = "model.layers." + std::to_string(l) + ".";
        for (const char* q : {"self_attn.q_proj", "self_attn.o_proj"}) m.push_back({p + q + ".weight", {kHidden, kHidden}, random_weights(kHidden * kHidden, ++seed)});
        m.push_back({p + "mlp.up_proj.weight", {4 * kHidden, kHidden}, random_weights(4 * kHidden * kHidden, ++seed)});
        m.push_back({p + "input_layernorm.weight", {kHidden}, random_weights(kHidden, ++seed, 1)});
    }
    m.push_back({"model.norm.weight", {kHidden}, random_weights(kHidden, ++seed, 1)});
    if (head) m.push_back({"lm_head.weight", {kVocabulary, kHidden}, random_weights(kVocabulary * kHidden, ++seed)});
    return m;
}
Model tuned(Model m) {
    unsigned seed = 500;
    for (Tensor& t : m) t.weights = tuned(t.weights, ++seed);
    return m;
}
Tensor& get(Model& m, const std::string& name) {
    return *std::find_if(m.begin(), m.end(), [&](const Tensor& t) { return t.name == name; });
}

class Match : public testing::Test {
   protected:
    void SetUp() override {
        fs::create_directories(dir_ / "cache");
        setenv("XDG_CACHE_HOME", (dir_ / "cache").c_str(), 1);
    }
    std::shared_ptr<const ModelDirectory> write(const std::string& name, const Model& m, unsigned shards = 1) {
        fs::create_directories(dir_ / name);
        std::string map;
        for (unsigned s = 0; s < shards; ++s) {
            const std::string file = shards == 1 ? "model.safetensors" : "model-0000" + std::to_string(s + 1) + "-of-0000" + std::to_string(shards) + ".safetensors";
            std::vector<Bytes> data;
            for (std::size_t i = s; i < m.size(); i += shards) {
                data.emplace_back();
                for (const float w : m[i].weights) test::append_weight(data.back(), w, m[i].dtype);
            }
            std::vector<TensorToWrite> list;
            for (std::size_t i = s, k = 0; i < m.size(); i += shards, ++k) {
                list.push_back({m[i].name, m[i].dtype, m[i].shape, data[k]});
                map += (map.empty() ? "\"" : ",\"") + m[i].name + "\":\"" + file + "\"";
            }
            EXPECT_TRUE(write_safetensors(dir_ / name / file, list).ok());
        }
        if (shards > 1) dir_.write(name + "/model.safetensors.index.json", "{\"metadata\":{},\"weight_map\":{" + map + "}}");
        dir_.write(name + "/config.json", "{}");
        auto opened = ModelDirectory::open(dir_ / name);
        EXPECT_TRUE(opened.ok()) << opened.error().text();
        return *opened;
    }
    /// Compresses and rebuilds; the report by tensor.
    std::map<std::string, TensorReport> round_trip(const Model& base, const Model& fine, unsigned shards = 1, std::uint64_t block_weights = 4096) {
        for (const char* name : {"base", "ft", "out"}) fs::remove_all(dir_ / name);
        base_ = write("base", base);
        fine_ = write("ft", fine, shards);
        blocks_ = {};
        std::map<std::string, TensorReport> reports;
        const auto r = compress(*base_, *fine_, blocks_, {.threads = 2, .block_weights = block_weights}, {});
        EXPECT_TRUE(r.ok()) << (r.ok() ? "" : r.error().text());
        if (!r.ok()) return reports;
        const auto rebuilt = reconstruct(blocks_, base_.get(), dir_ / "out", {.threads = 2, .verify = Verify::kFull}, {});
        EXPECT_TRUE(rebuilt.ok()) << (rebuilt.ok() ? "" : rebuilt.error().text());
        EXPECT_EQ(test::read_tree(dir_ / "out"), test::read_tree(dir_ / "ft"));
        for (const auto& t : r->tensors) reports[t.name] = t;
        return reports;
    }
    static bool predicted(const TensorReport& t) { return (t.method == "difference" || t.method == "identical" || t.method == "sparse") && t.stored_bytes * 3 < t.raw_bytes * 2; }
    TempDir dir_;
    std::shared_ptr<const ModelDirectory> base_, fine_;
    MemoryBlocks blocks_;
};

TEST_F(Match, SameNamesSayNothing) {
    const auto r = round_trip(base_model(), tuned(base_model()));
    for (const auto& [name, t] : r) {
        EXPECT_EQ(t.how, "") << name;
        EXPECT_EQ(t.base_tensor, "") << name;
    }
    EXPECT_TRUE(pair_tensors(*base_, *fine_).misfits.empty());
}

TEST_F(Match, OtherShards) {
    const auto r = round_trip(base_model(), tuned(base_model()), 3);
    EXPECT_TRUE(predicted(r.at("model.layers.2.mlp.up_proj.weight")));
    EXPECT_TRUE(pair_tensors(*base_, *fine_).misfits.empty());
}

TEST_F(Match, RenamedBeginnings) {
    for (const auto& [from, to] : {std::pair<std::string, std::string>{"model.", ""}, {"", "base_model.model."}, {"model.", "transformer."}, {"model.", "language_model.model."}}) {
        Model fine = tuned(base_model());
        for (Tensor& t : fine)
            if (t.name.starts_with(from)) t.name = to + t.name.substr(from.size());
        const auto r = round_trip(base_model(), fine);
        const PairPlan plan = pair_tensors(*base_, *fine_);
        EXPECT_TRUE(plan.fits);
        EXPECT_TRUE(plan.misfits.empty()) << to << ": " << plan.misfits[0].tensor;
        for (const auto& p : plan.pairs) {
            const std::string& f = fine_->tensors()[p.fine_tune].name;
            ASSERT_TRUE(p.base.has_value()) << f;
            if (!f.starts_with(to) || f == "lm_head.weight") continue;
            EXPECT_EQ(base_->tensors()[*p.base].name, from + f.substr(to.size()));
            EXPECT_EQ(p.how, "prefix");
            EXPECT_EQ(r.at(f).base_tensor, base_->tensors()[*p.base].name);
        }
    }
}

TEST_F(Match, TwoTowersOfOneBuildAreToldApart) {
    // Names that end alike: text.layers.0… and vision.layers.0…; the fine-tune has lost the beginning of one.
    Model base, fine;
    for (const char* tower : {"text.", "vision."})
        for (int l = 0; l < 3; ++l) base.push_back({tower + std::string("layers.") + std::to_string(l) + ".proj.weight", {kHidden, kHidden}, random_weights(kHidden * kHidden, static_cast<unsigned>(l + (tower[0] == 't' ? 50 : 90)))});
    for (const Tensor& t : base)
        if (t.name.starts_with("vision.")) fine.push_back({t.name.substr(7), t.shape, tuned(t.weights, 7)});
    const auto r = round_trip(base, fine);
    for (const auto& [name, t] : r) EXPECT_EQ(t.base_tensor, "vision." + name);
}

TEST_F(Match, OtherNamesAltogether) {
    Model fine = tuned(base_model());
    for (std::size_t i = 0; i < fine.size(); ++i) fine[i].name = "w" + std::to_string(i * 7 % fine.size());
    std::reverse(fine.begin(), fine.end());
    const auto r = round_trip(base_model(), fine);
    const Model base = base_model();
    for (std::size_t i = 0; i < base.size(); ++i) {
        const TensorReport& t = r.at("w" + std::to_string(i * 7 % base.size()));
        EXPECT_EQ(t.base_tensor, base[i].name);
        EXPECT_EQ(t.how, "content");
        if (base[i].shape.size() == 2) {
            EXPECT_TRUE(predicted(t)) << base[i].name << " " << t.method;
        }
    }
}

TEST_F(Match, ReorderedLayersBringTheirSmallTensorsAlong) {
    // Layer l of the fine-tune is layer (l + 1) % 4 of the base, under the name that the base's layer l has.
    Model fine;
    for (const Tensor& t : tuned(base_model())) {
        const int layer = tensor_place(t.name).layer;
        fine.push_back(t);
        if (layer >= 0) fine.back().name = *with_layer(t.name, (layer + 3) % 4);
    }
    const auto r = round_trip(base_model(), fine);
    for (const auto& [name, t] : r) {
        const int layer = tensor_place(name).layer;
        if (layer < 0) {
            EXPECT_EQ(t.how, "");
            continue;
        }
        EXPECT_EQ(t.base_tensor, *with_layer(name, (layer + 1) % 4)) << name;
        EXPECT_TRUE(t.how == "content" || t.how == "layer") << t.how;
    }
    EXPECT_EQ(r.at("model.layers.1.mlp.up_proj.weight").how, "content");
}

TEST_F(Match, VocabulariesThatGrewAndShrank) {
    for (const unsigned rows : {kVocabulary + 3, kVocabulary - 5}) {
        Model fine = tuned(base_model());
        for (const char* name : {"model.embed_tokens.weight", "lm_head.weight"}) {
            Tensor& t = get(fine, name);
            t.shape[0] = rows;
            const auto more = random_weights(rows * kHidden, 99);
            const std::size_t had = std::min<std::size_t>(t.weights.size(), more.size());
            t.weights.resize(rows * kHidden);
            std::copy(more.begin() + static_cast<std::ptrdiff_t>(had), more.end(), t.weights.begin() + static_cast<std::ptrdiff_t>(had));
        }
        const auto r = round_trip(base_model(), fine);
        const TensorReport& t = r.at("lm_head.weight");
        EXPECT_TRUE(predicted(t)) << rows;
        EXPECT_EQ(t.base_tensor, "lm_head.weight");
        EXPECT_EQ(t.how, rows > kVocabulary ? "rows 0-199 of 203" : "rows 0-194 of 195");
        const PairPlan plan = pair_tensors(*base_, *fine_);
        EXPECT_TRUE(plan.fits);
        EXPECT_EQ(plan.misfits.size(), rows > kVocabulary ? 2u : 0u);  // the added rows are stored alone
        const auto alone = std::count_if(blocks_.infos.begin(), blocks_.infos.end(), [](const BlockInfo& b) { return b.name.starts_with("model.embed_tokens") && b.base.empty(); });
        EXPECT_EQ(alone, rows > kVocabulary ? 1 : 0);
    }
}

TEST_F(Match, HeadsTiedAndUntied) {
    // The base has no head; the fine-tune's was untied and trained.
    Model fine = tuned(base_model(false));
    fine.push_back({"lm_head.weight", {kVocabulary, kHidden}, tuned(get(fine, "model.embed_tokens.weight").weights, 3)});
    auto r = round_trip(base_model(false), fine);
    EXPECT_EQ(r.at("lm_head.weight").base_tensor, "model.embed_tokens.weight");
    EXPECT_EQ(r.at("lm_head.weight").how, "tied head");
    EXPECT_TRUE(predicted(r.at("lm_head.weight")));
    // It grew, too.
    Tensor& head = get(fine, "lm_head.weight");
    head.shape[0] += 2;
    head.weights.resize(head.weights.size() + 2 * kHidden, 0.5f);
    r = round_trip(base_model(false), fine);
    EXPECT_EQ(r.at("lm_head.weight").how, "tied head; rows 0-199 of 202");
    // The reverse: only the base's head is stored.
    Model base = base_model(false);
    get(base, "model.embed_tokens.weight").name = "lm_head.weight";
    r = round_trip(base, tuned(base_model(false)));
    EXPECT_EQ(r.at("model.embed_tokens.weight").base_tensor, "lm_head.weight");
    EXPECT_TRUE(predicted(r.at("model.embed_tokens.weight")));
    // A head of its own is no version of the embedding.
    fine = tuned(base_model(true));
    r = round_trip(base_model(false), fine);
    EXPECT_EQ(r.at("lm_head.weight").how, "");
    EXPECT_EQ(r.at("lm_head.weight").method, "standalone");
    EXPECT_EQ(pair_tensors(*base_, *fine_).misfits.size(), 1u);
}

TEST_F(Match, OtherElementTypes) {
    const DType types[] = {DType::kBF16, DType::kF16, DType::kF32};
    for (const DType from : types)
        for (const DType to : types) {
            if (from == to) continue;
            Model base = base_model(), fine = tuned(base_model());
            for (Tensor& t : base) t.dtype = from;
            for (Tensor& t : fine) t.dtype = to;
            auto& same = get(base, "model.layers.0.self_attn.q_proj.weight").weights;
            for (float& w : same) w = std::round(w * 1024) / 1024;  // exact in all three
            get(fine, "model.layers.0.self_attn.q_proj.weight").weights = same;
            const auto r = round_trip(base, fine);
            const std::string cast = std::string(dtype_name(from)) + " to " + std::string(dtype_name(to));
            for (const auto& [name, t] : r) {
                EXPECT_EQ(t.how, cast) << name;
                if (t.raw_bytes > 4000) {
            EXPECT_TRUE(predicted(t)) << name << " " << cast << " " << t.method << " " << t.stored_bytes;
        }
            }
            EXPECT_EQ(r.at("model.layers.0.self_attn.q_proj.weight").changed_fraction, 0);
            // A base of the same numbers in another type is another base.
            Model other = base;
            for (Tensor& t : other) t.dtype = to;
            const auto cast_base = write("cast", other);
            const auto refused = reconstruct(blocks_, cast_base.get(), dir_ / "refused", {}, {});
            ASSERT_FALSE(refused.ok());
            EXPECT_EQ(refused.error().code, ErrorCode::kWrongBase);
            EXPECT_EQ(exit_code(refused.error().code), 3);
            EXPECT_FALSE(fs::exists(dir_ / "refused"));
            fs::remove_all(dir_ / "cast");
        }
}

TEST_F(Match, ScaledBase) {
    for (const double scale : {0.75, 0.7, -0.5, 1.0 / 3, 0.7071067811865476}) {
        Model fine = base_model();
        for (Tensor& t : fine)
            if (t.shape.size() == 2)
                for (float& w : t.weights) w = test::rounded(static_cast<float>(static_cast<double>(w) * scale), DType::kBF16);
        const auto r = round_trip(base_model(), fine);
        const TensorReport& t = r.at("model.layers.1.mlp.up_proj.weight");
        EXPECT_EQ(t.method, "identical") << scale << " " << t.how;
        EXPECT_TRUE(t.how.starts_with("base x ")) << t.how;
        // And in the midst of a change.
        const auto u = round_trip(base_model(), tuned(fine));
        EXPECT_TRUE(predicted(u.at("model.layers.1.mlp.up_proj.weight"))) << scale;
    }
}

TEST_F(Match, QuantizedBaseWithALoraOnTop) {
    for (const std::uint32_t nested : {0u, 256u}) {
        Model base{{"a.weight", {300, 512}, random_weights(300 * 512, 1)}, {"b.weight", {256, 300}, random_weights(256 * 300, 2)}}, exact = base;
        for (Tensor& t : exact) {
            Nf4 format{64, nested, 0};
            double sum = 0;
            std::uint64_t blocks = 0;
            nf4_add_magnitudes(t.weights.data(), t.weights.size(), 64, sum, blocks);
            if (nested != 0) format.mean = static_cast<float>(sum / static_cast<double>(blocks));
            std::vector<float> out(t.weights.size());
            nf4_round_trip(t.weights.data(), t.weights.size(), format, out.data());
            t.weights = out;
        }
        auto r = round_trip(base, exact, 1, 1 << 16);
        EXPECT_EQ(r.at("a.weight").method, "identical") << nested;
        EXPECT_EQ(r.at("b.weight").method, "identical") << nested;
        EXPECT_EQ(r.at("a.weight").how, nested != 0 ? "base in NF4 with double quantization" : "base in NF4");
        Model merged = exact;
        for (Tensor& t : merged) t.weights = tuned(t.weights, 5, 0.00005f);
        r = round_trip(base, merged, 1, 1 << 16);
        EXPECT_EQ(r.at("a.weight").how, nested != 0 ? "base in NF4 with double quantization" : "base in NF4");
        EXPECT_LT(r.at("a.weight").stored_bytes * 3, r.at("a.weight").raw_bytes);
    }
}

TEST_F(Match, AWrongBaseOfTheSameBuildIsKeptByNameOnly) {
    Model stranger = base_model();
    unsigned seed = 9000;
    for (Tensor& t : stranger) t.weights = random_weights(t.weights.size(), ++seed, t.shape.size() == 1 ? 1.0f : 0.0f);
    const auto r = round_trip(stranger, base_model());
    for (const auto& [name, t] : r) {
        EXPECT_EQ(t.how, "") << name;
        if (t.raw_bytes > 4000) {
            EXPECT_GT(t.stored_bytes * 10, t.raw_bytes * 6) << name;
        }
    }
    // By content alone nothing is found, and the pair is refused.
    Model renamed = base_model();
    for (std::size_t i = 0; i < renamed.size(); ++i) renamed[i].name = "w" + std::to_string(i);
    const auto fine = write("renamed", renamed);
    const PairPlan plan = pair_tensors(*base_, *fine);
    EXPECT_FALSE(plan.fits);
    MemoryBlocks blocks;
    const auto refused = compress(*base_, *fine, blocks, {}, {});
    ASSERT_FALSE(refused.ok());
    EXPECT_EQ(refused.error().code, ErrorCode::kMismatch);
}

TEST_F(Match, LyingTransformsInAnArtifactAreRefused) {
    Model base = base_model();
    base.push_back({"big.weight", {1024, kHidden}, random_weights(1024 * kHidden, 77)});  // several blocks
    const Model fine = tuned(base);
    for (Tensor& t : base) t.dtype = DType::kF32;
    round_trip(base, fine);
    const auto code = [&](const MemoryBlocks& bad) {
        const auto r = reconstruct(bad, base_.get(), dir_ / "bad", {}, {});
        EXPECT_FALSE(r.ok());
        EXPECT_FALSE(fs::exists(dir_ / "bad"));
        return r.ok() ? ErrorCode::kInternal : r.error().code;
    };
    const auto with = [&](const std::string& transform) {
        MemoryBlocks bad = blocks_;
        const auto b = std::find_if(bad.infos.begin(), bad.infos.end(), [](const BlockInfo& x) { return x.transform == "F32>BF16" && x.name == "big.weight#1"; });
        if (b == bad.infos.end()) return ErrorCode::kInternal;
        b->transform = transform;
        return code(bad);
    };
    EXPECT_EQ(with("F32>FP8"), ErrorCode::kUnsupported);
    EXPECT_EQ(with("F32>F32"), ErrorCode::kMalformed);                      // another size
    EXPECT_EQ(with("BF16>BF16"), ErrorCode::kMalformed);
    for (const char* other : {"F32>F16", "F32*0x1.8p-1>BF16", "F32>NF4/64>BF16"}) {  // decodes to something else, or not at all
        const ErrorCode c = with(other);
        EXPECT_TRUE(c == ErrorCode::kIntegrity || c == ErrorCode::kMalformed) << other;
    }
    EXPECT_EQ(with("F32>NF4/4096/4096+0x1p-4>BF16"), ErrorCode::kMalformed);  // begins inside a group
    EXPECT_EQ(with(std::string(1 << 16, 'x')), ErrorCode::kUnsupported);
}

TEST(MatchNames, PrefixesAreLearnt) {
    EXPECT_EQ(with_layer("model.layers.12.mlp.weight", 3), "model.layers.3.mlp.weight");
    EXPECT_EQ(with_layer("h.0.attn.weight", 11), "h.11.attn.weight");
    EXPECT_EQ(with_layer("lm_head.weight", 1), std::nullopt);
}

TEST(MatchSketch, SlicesLieInsideAndApart) {
    for (const std::uint64_t n : {std::uint64_t{1}, std::uint64_t{100}, std::uint64_t{4097}, std::uint64_t{1} << 30})
        for (const std::uint64_t align : {1u, 64u, 16384u}) {
            std::uint64_t last = 0;
            for (const WeightSlice& s : spread_slices(n, 4, 1024, align)) {
                EXPECT_EQ(s.first % align, 0u);
                EXPECT_GE(s.first, last);
                EXPECT_GT(s.count, 0u);
                EXPECT_LE(s.first + s.count, n);
                last = s.first + s.count;
            }
        }
}

}  // namespace
}  // namespace tenpak::delta

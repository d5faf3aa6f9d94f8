// SPDX-License-Identifier: Apache-2.0
#include "core/tensor/peft_adapter.h"

#include <gtest/gtest.h>

#include <cstring>
#include <fstream>
#include <random>

#include "core/base/half.h"
#include "core/base/json.h"
#include "tests/support/temp_dir.h"

namespace tenpak {
namespace {

using test::TempDir;

Bytes floats(const std::vector<float>& x) {
    Bytes b(x.size() * 4);
    std::memcpy(b.data(), x.data(), b.size());
    return b;
}
std::vector<float> numbers(std::size_t n, unsigned seed) {
    std::mt19937 g(seed);
    std::normal_distribution<float> normal(0, 1);
    std::vector<float> x(n);
    for (float& v : x) v = normal(g);
    return x;
}

struct Item {
    std::string name;
    std::vector<std::uint64_t> shape;
    std::vector<float> data;
};
void write_weights(const fs::path& file, const std::vector<Item>& items) {
    std::vector<Bytes> data;
    std::vector<TensorToWrite> tensors;
    for (const Item& i : items) data.push_back(floats(i.data));
    for (std::size_t i = 0; i < items.size(); ++i)
        tensors.push_back({items[i].name, DType::kF32, items[i].shape, data[i]});
    const Status s = write_safetensors(file, std::move(tensors));
    ASSERT_TRUE(s.ok()) << s.error().text();
}
void write_adapter(const fs::path& dir, const std::string& config, const std::vector<Item>& items) {
    fs::create_directories(dir);
    std::ofstream(dir / "adapter_config.json") << config;
    write_weights(dir / "adapter_model.safetensors", items);
}
std::string config(const std::string& more = "") {
    return R"({"peft_type":"LORA","r":2,"lora_alpha":4,"target_modules":["q"])" + more + "}";
}
std::vector<Item> usual(const std::string& infix = "") {
    return {{"base_model.model.model.q.lora_A" + infix + ".weight", {2, 5}, numbers(10, 1)},
            {"base_model.model.model.q.lora_B" + infix + ".weight", {3, 2}, numbers(6, 2)}};
}
std::shared_ptr<const ModelDirectory> base_with(const fs::path& dir, const std::vector<Item>& items) {
    fs::create_directories(dir);
    write_weights(dir / "model.safetensors", items);
    auto m = ModelDirectory::open(dir);
    EXPECT_TRUE(m.ok());
    return *m;
}
std::vector<float> merged_tensor(const std::shared_ptr<const ModelSource>& base, const fs::path& adapter,
                                 const char* name) {
    const auto a = PeftAdapter::open(adapter);
    EXPECT_TRUE(a.ok()) << (a.ok() ? "" : a.error().text());
    const auto m = open_merged(base, *a);
    EXPECT_TRUE(m.ok()) << (m.ok() ? "" : m.error().text());
    if (!m.ok()) return {};
    const auto x = (*m)->read_float(*(*m)->find(name));
    EXPECT_TRUE(x.ok());
    return *x;
}

TEST(PeftAdapter, MergesWithEachWayOfScalingAndNaming) {
    const TempDir dir;
    const std::vector<float> w = numbers(15, 3), a = numbers(10, 1), b = numbers(6, 2);
    const auto base =
        base_with(dir.path() / "base", {{"model.q.weight", {3, 5}, w}, {"model.other.weight", {2, 2}, numbers(4, 9)}});
    const struct {
        const char* more;
        float scale;
        const char* infix;
    } cases[] = {{"", 2.0f, ""},
                 {R"(,"use_rslora":true)", 4 / std::sqrt(2.0f), ""},
                 {R"(,"alpha_pattern":{"q":1})", 0.5f, ".default"},
                 {R"(,"alpha_pattern":{"xq":1},"use_dora":false,"bias":"none")", 2.0f, ".mine"}};
    int n = 0;
    for (const auto& c : cases) {
        const fs::path at = dir.path() / std::to_string(n++);
        write_adapter(at, config(c.more), usual(c.infix));
        const std::vector<float> got = merged_tensor(base, at, "model.q.weight");
        ASSERT_EQ(got.size(), 15u);
        for (std::size_t i = 0; i < 3; ++i)
            for (std::size_t j = 0; j < 5; ++j)
                EXPECT_FLOAT_EQ(got[i * 5 + j], w[i * 5 + j] + c.scale * (b[i * 2] * a[j] + b[i * 2 + 1] * a[5 + j]))
                    << c.more;
        EXPECT_EQ(merged_tensor(base, at, "model.other.weight"), numbers(4, 9));
    }
}

TEST(PeftAdapter, TransposedEmbeddingAndReplacedTensors) {
    const TempDir dir;
    const std::vector<float> w = numbers(15, 3), a = numbers(10, 1), b = numbers(6, 2);
    // (inputs, outputs) as GPT-2 stores it.
    const auto turned = base_with(dir.path() / "turned", {{"model.q.weight", {5, 3}, w}});
    write_adapter(dir.path() / "a", config(R"(,"fan_in_fan_out":true)"), usual());
    std::vector<float> got = merged_tensor(turned, dir.path() / "a", "model.q.weight");
    for (std::size_t i = 0; i < 5; ++i)
        for (std::size_t j = 0; j < 3; ++j)
            EXPECT_FLOAT_EQ(got[i * 3 + j], w[i * 3 + j] + 2 * (b[j * 2] * a[i] + b[j * 2 + 1] * a[5 + i]));
    // An embedding of 5 tokens in 3 dimensions, and a head that was trained whole.
    const auto base =
        base_with(dir.path() / "base", {{"model.embed.weight", {5, 3}, w}, {"head.weight", {2, 2}, numbers(4, 4)}});
    write_adapter(dir.path() / "b", config(R"(,"modules_to_save":["head"])"),
                  {{"base_model.model.model.embed.lora_embedding_A", {2, 5}, a},
                   {"base_model.model.model.embed.lora_embedding_B", {3, 2}, b},
                   {"base_model.model.head.weight", {2, 2}, numbers(4, 5)}});
    got = merged_tensor(base, dir.path() / "b", "model.embed.weight");
    for (std::size_t i = 0; i < 5; ++i)
        for (std::size_t j = 0; j < 3; ++j)
            EXPECT_FLOAT_EQ(got[i * 3 + j], w[i * 3 + j] + 2 * (b[j * 2] * a[i] + b[j * 2 + 1] * a[5 + i]));
    EXPECT_EQ(merged_tensor(base, dir.path() / "b", "head.weight"), numbers(4, 5));
    // A base whose names lack the prefix.
    const auto bare = base_with(dir.path() / "bare", {{"q.weight", {3, 5}, w}});
    write_adapter(dir.path() / "c", config(), usual());
    EXPECT_NE(merged_tensor(bare, dir.path() / "c", "q.weight"), w);
}

TEST(PeftAdapter, RoundsAsPeftDoes) {
    // bf16 factors: the product is rounded to bf16 before it is added; any range of bytes gives the same.
    LoraMatrices l;
    l.rows = 7;
    l.columns = 300;
    l.rank = 3;
    l.scale = 0.37;
    l.dtype = DType::kBF16;
    l.up = numbers(21, 1);
    l.down = numbers(900, 2);
    for (auto* x : {&l.up, &l.down})
        for (float& f : *x) f = bf16_to_float(float_to_bf16(f));
    Bytes weights(7 * 300 * 2);
    const std::vector<float> w = numbers(2100, 3);
    for (std::size_t i = 0; i < w.size(); ++i) {
        const std::uint16_t h = float_to_bf16(w[i]);
        std::memcpy(weights.data() + 2 * i, &h, 2);
    }
    Bytes all = weights;
    ASSERT_TRUE(merge_lora(l, DType::kBF16, 0, all).ok());
    for (std::size_t i = 0; i < 7; ++i) {
        for (std::size_t j = 0; j < 300; ++j) {
            float p = 0;
            for (std::size_t c = 0; c < 3; ++c) p += l.up[i * 3 + c] * l.down[c * 300 + j];
            p = bf16_to_float(float_to_bf16(p * 0.37f));
            std::uint16_t before = 0, after = 0;
            std::memcpy(&before, weights.data() + 2 * (i * 300 + j), 2);
            std::memcpy(&after, all.data() + 2 * (i * 300 + j), 2);
            EXPECT_EQ(after, float_to_bf16(bf16_to_float(before) + p));
        }
    }
    Bytes part(weights.begin() + 2 * 450, weights.begin() + 2 * 1111);
    ASSERT_TRUE(merge_lora(l, DType::kBF16, 450, part).ok());
    EXPECT_TRUE(std::equal(part.begin(), part.end(), all.begin() + 2 * 450));
    EXPECT_FALSE(merge_lora(l, DType::kBF16, 2000, part).ok());
    EXPECT_FALSE(merge_lora(l, DType::kI8, 0, part).ok());
}

TEST(PeftAdapter, RefusesWhatItCannotReadByName) {
    const TempDir dir;
    int n = 0;
    const auto error = [&](const std::string& text, const std::vector<Item>& items) {
        const fs::path at = dir.path() / std::to_string(n++);
        write_adapter(at, text, items);
        const auto a = PeftAdapter::open(at);
        EXPECT_FALSE(a.ok()) << text;
        return a.ok() ? Error{} : a.error();
    };
    EXPECT_EQ(error(config(R"(,"use_dora":true)"), usual()).code, ErrorCode::kUnsupported);
    EXPECT_NE(error(R"({"peft_type":"IA3"})", usual()).what.find("IA3"), std::string::npos);
    EXPECT_EQ(error(config(R"(,"bias":"all")"), usual()).code, ErrorCode::kUnsupported);
    EXPECT_NE(error(config(R"(,"layer_replication":[[0,4]])"), usual()).what.find("layer_replication"),
              std::string::npos);
    EXPECT_EQ(error(config(R"(,"alpha_pattern":{".*q":1})"), usual()).code, ErrorCode::kUnsupported);
    EXPECT_EQ(error("{", usual()).code, ErrorCode::kMalformed);
    EXPECT_EQ(error("[]", usual()).code, ErrorCode::kMalformed);
    EXPECT_EQ(error(R"({"peft_type":7})", usual()).code, ErrorCode::kMalformed);
    EXPECT_EQ(error(R"({"peft_type":"LORA","lora_alpha":"x"})", usual()).code, ErrorCode::kMalformed);
    EXPECT_EQ(error(config(), {usual()[0]}).code, ErrorCode::kMalformed);
    auto wrong = usual();
    wrong[1].shape = {2, 3};
    EXPECT_EQ(error(config(), wrong).code, ErrorCode::kMalformed);
    auto magnitude = usual();
    magnitude.push_back({"base_model.model.model.q.lora_magnitude_vector.weight", {3}, numbers(3, 3)});
    EXPECT_EQ(error(config(), magnitude).code, ErrorCode::kUnsupported);
    EXPECT_EQ(PeftAdapter::open(dir.path() / "none").error().code, ErrorCode::kNotFound);
    fs::create_directories(dir.path() / "pickled");
    std::ofstream(dir.path() / "pickled" / "adapter_config.json") << config();
    std::ofstream(dir.path() / "pickled" / "adapter_model.bin") << "x";
    EXPECT_EQ(PeftAdapter::open(dir.path() / "pickled").error().code, ErrorCode::kUnsupported);
    // The wrong base.
    write_adapter(dir.path() / "good", config(), usual());
    const auto a = PeftAdapter::open(dir.path() / "good");
    ASSERT_TRUE(a.ok());
    EXPECT_EQ((*a)->match(*base_with(dir.path() / "b1", {{"model.k.weight", {3, 5}, numbers(15, 1)}})).error().code,
              ErrorCode::kMismatch);
    EXPECT_EQ((*a)->match(*base_with(dir.path() / "b2", {{"model.q.weight", {3, 6}, numbers(18, 1)}})).error().code,
              ErrorCode::kMismatch);
}

TEST(PeftAdapter, WritesWhatItReads) {
    const TempDir dir;
    std::vector<LoraToWrite> modules{{"model.q.weight", 3, 5, 2, numbers(6, 1), numbers(10, 2)},
                                     {"model.k.weight", 4, 5, 2, numbers(8, 3), numbers(10, 4)},
                                     {"model.v.weight", 3, 5, 1, numbers(3, 5), numbers(5, 6)},
                                     {"model.embed_tokens.weight", 9, 4, 2, numbers(18, 7), numbers(8, 8)}};
    ASSERT_TRUE(write_peft_adapter(dir.path() / "out", modules, "some/base", DType::kF32).ok());
    const auto a = PeftAdapter::open(dir.path() / "out");
    ASSERT_TRUE(a.ok()) << a.error().text();
    EXPECT_EQ((*a)->base_model(), "some/base");
    const auto base = base_with(dir.path() / "base", {{"model.q.weight", {3, 5}, numbers(15, 1)},
                                                      {"model.k.weight", {4, 5}, numbers(20, 1)},
                                                      {"model.v.weight", {3, 5}, numbers(15, 2)},
                                                      {"model.embed_tokens.weight", {9, 4}, numbers(36, 2)}});
    const auto targets = (*a)->match(*base);
    ASSERT_TRUE(targets.ok()) << targets.error().text();
    ASSERT_EQ(targets->size(), 4u);
    for (const LoraTarget& t : *targets) {
        const auto l = (*a)->load(t);
        ASSERT_TRUE(l.ok());
        const auto from = std::find_if(modules.begin(), modules.end(), [&](const LoraToWrite& m) {
            return m.tensor == base->tensors()[t.tensor].name;
        });
        ASSERT_NE(from, modules.end());
        EXPECT_EQ(l->up, from->up);
        EXPECT_EQ(l->down, from->down);
        EXPECT_EQ(l->scale, 1.0);
    }
    EXPECT_FALSE(
        write_peft_adapter(dir.path() / "bad", {{"model.q", 3, 5, 2, numbers(6, 1), numbers(10, 2)}}, "", DType::kF32)
            .ok());
    EXPECT_FALSE(fs::exists(dir.path() / "bad"));
}

}  // namespace
}  // namespace tenpak

// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include "core/model/config.h"
#include "tests/core/model/tiny_model.h"

namespace {

using namespace tenpak;
using namespace tenpak::model;
using namespace tenpak::test;

struct Dir {
    TempDir dir;
    Dir() { TinyModel({}).write(dir / "m"); }
    Result<ModelConfig> read(const std::string& config) {
        dir.write("m/config.json", config);
        auto source = ModelDirectory::open(dir / "m");
        EXPECT_TRUE(source.ok());
        return read_config(**source);
    }
    Result<ModelConfig> with(const char* key, const Json& value) {
        Json j = TinyModel({}).config;
        j[key] = value;
        return read(j.dump());
    }
    Result<ModelConfig> without(const char* key) {
        Json j = TinyModel({}).config;
        j.erase(key);
        return read(j.dump());
    }
};

TEST(Config, ReadsALlama) {
    Dir d;
    Json j = TinyModel({}).config;
    j["eos_token_id"] = {7, 8};
    j["bos_token_id"] = 1;
    const auto c = d.read(j.dump());
    ASSERT_TRUE(c.ok()) << c.error().text();
    EXPECT_EQ(c->architecture, "LlamaForCausalLM");
    EXPECT_EQ(c->hidden, 48u);
    EXPECT_EQ(c->kv_heads, 2u);
    EXPECT_EQ(c->head_dim, 8u);
    EXPECT_TRUE(c->tied_head);
    EXPECT_EQ(c->bos, 1);
    EXPECT_EQ(c->eos, 7);
    ASSERT_EQ(c->rope.short_frequencies.size(), 4u);
    EXPECT_FLOAT_EQ(c->rope.short_frequencies[1], 0.1f);
    const auto head = d.without("head_dim");
    ASSERT_TRUE(head.ok());
    EXPECT_EQ(head->head_dim, 8u);
    const auto kv = d.without("num_key_value_heads");
    ASSERT_TRUE(kv.ok());
    EXPECT_EQ(kv->kv_heads, 6u);
}

TEST(Config, UnknownArchitectureListsTheKnown) {
    Dir d;
    const auto c = d.with("architectures", {"MambaForCausalLM"});
    ASSERT_FALSE(c.ok());
    EXPECT_EQ(c.error().code, ErrorCode::kUnsupported);
    EXPECT_NE(c.error().text().find("MambaForCausalLM"), std::string::npos);
    for (const char* known : {"LlamaForCausalLM", "MistralForCausalLM", "Qwen2ForCausalLM", "Qwen3ForCausalLM", "SmolLM3ForCausalLM", "Gemma2ForCausalLM", "Phi3ForCausalLM", "GPT2LMHeadModel",
                              "GPTNeoXForCausalLM"}) {
        EXPECT_NE(c.error().text().find(known), std::string::npos) << known;
    }
}

TEST(Config, ImpossibleNumbers) {
    Dir d;
    const auto code = [](const Result<ModelConfig>& c) { return c.ok() ? ErrorCode::kInternal : c.error().code; };
    EXPECT_EQ(code(d.with("hidden_size", 0)), ErrorCode::kMalformed);
    EXPECT_EQ(code(d.with("hidden_size", -5)), ErrorCode::kMalformed);
    EXPECT_EQ(code(d.with("hidden_size", "48")), ErrorCode::kMalformed);
    EXPECT_EQ(code(d.with("hidden_size", 1e9)), ErrorCode::kMalformed);
    EXPECT_EQ(code(d.with("num_hidden_layers", 4000000000u)), ErrorCode::kMalformed);
    EXPECT_EQ(code(d.with("num_key_value_heads", 4)), ErrorCode::kMalformed);
    EXPECT_EQ(code(d.with("head_dim", 7)), ErrorCode::kMalformed);
    EXPECT_EQ(code(d.with("rms_norm_eps", -1)), ErrorCode::kMalformed);
    EXPECT_EQ(code(d.with("rope_theta", 0)), ErrorCode::kMalformed);
    EXPECT_EQ(code(d.with("architectures", Json::array())), ErrorCode::kMalformed);
    EXPECT_EQ(code(d.without("vocab_size")), ErrorCode::kMalformed);
    EXPECT_EQ(code(d.without("architectures")), ErrorCode::kMalformed);
    EXPECT_EQ(code(d.with("hidden_act", "relu6")), ErrorCode::kUnsupported);
    EXPECT_EQ(code(d.read("{")), ErrorCode::kMalformed);
    EXPECT_EQ(code(d.read("[]")), ErrorCode::kMalformed);
}

TEST(Config, RopeScalings) {
    Dir d;
    const auto linear = d.with("rope_scaling", {{"type", "linear"}, {"factor", 4.0}});
    ASSERT_TRUE(linear.ok()) << linear.error().text();
    EXPECT_FLOAT_EQ(linear->rope.short_frequencies[0], 0.25f);
    const auto newer = d.with("rope_parameters", {{"rope_type", "default"}, {"rope_theta", 256.0}});
    ASSERT_TRUE(newer.ok());
    EXPECT_FLOAT_EQ(newer->rope.short_frequencies[1], 0.25f);
    // Llama 3.1's numbers: wavelengths below 2048 stay, above 8192 are divided by 8, between they are blended.
    Json j = TinyModel({}).config;
    j["head_dim"] = 128;
    j["rope_theta"] = 500000.0;
    j["rope_scaling"] = {{"rope_type", "llama3"}, {"factor", 8.0}, {"low_freq_factor", 1.0}, {"high_freq_factor", 4.0}, {"original_max_position_embeddings", 8192}};
    const auto l3 = d.read(j.dump());
    ASSERT_TRUE(l3.ok()) << l3.error().text();
    const auto plain = [](int i) { return std::pow(500000.0, -2.0 * i / 128); };
    EXPECT_NEAR(l3->rope.short_frequencies[10], plain(10), 1e-7);
    EXPECT_NEAR(l3->rope.short_frequencies[60], plain(60) / 8, 1e-10);
    const double f = plain(32), smooth = (8192 / (2 * M_PI / f) - 1) / 3;
    EXPECT_NEAR(l3->rope.short_frequencies[32], (1 - smooth) * f / 8 + smooth * f, 1e-9);
    EXPECT_EQ(d.with("rope_scaling", {{"type", "axial"}, {"factor", 4.0}}).error().code, ErrorCode::kUnsupported);
    EXPECT_EQ(d.with("rope_scaling", {{"type", "longrope"}, {"short_factor", {1, 1}}, {"long_factor", {1, 1}}}).error().code, ErrorCode::kMalformed) << "two factors for four dimensions";
    EXPECT_EQ(d.with("rope_scaling", {{"type", "longrope"}, {"short_factor", {1, 1, 1, 0}}, {"long_factor", {1, 1, 1, 1}}}).error().code, ErrorCode::kMalformed);
    EXPECT_EQ(d.with("rope_parameters", {{"full_attention", {{"rope_type", "default"}}}}).error().code, ErrorCode::kUnsupported);
    // Dynamic scaling: the base grows with the context (theta * (s L / L0 - (s - 1))^(d / (d - 2))), and the context with it.
    const auto dynamic = d.with("rope_scaling", {{"type", "dynamic"}, {"factor", 2.0}});
    ASSERT_TRUE(dynamic.ok()) << dynamic.error().text();
    EXPECT_EQ(dynamic->max_positions, 128u);
    EXPECT_EQ(dynamic->rope.variant(64), 0u);
    EXPECT_EQ(dynamic->rope.variant(96), 96u);
    EXPECT_FLOAT_EQ(dynamic->rope.frequencies(96)[2], static_cast<float>(std::pow(10000 * std::pow(2.0 * 96 / 64 - 1, 8.0 / 6), -4.0 / 8)));
    EXPECT_EQ(d.with("rope_scaling", {{"type", "linear"}, {"factor", 0}}).error().code, ErrorCode::kMalformed);
    EXPECT_EQ(d.with("rope_scaling", {{"type", "linear"}}).error().code, ErrorCode::kMalformed);
    EXPECT_EQ(d.with("rope_scaling", "linear").error().code, ErrorCode::kMalformed);
}

TEST(Config, SlidingWindows) {
    Dir d;
    const auto windows = [&](const Json& changes) {
        Json j = TinyModel({}).config;
        j.update(changes);
        const auto c = d.read(j.dump());
        EXPECT_TRUE(c.ok()) << c.error().text();
        std::vector<std::uint32_t> out;
        if (c.ok()) {
            for (const LayerKind& k : c->layer_kinds) out.push_back(k.window);
        }
        return out;
    };
    using W = std::vector<std::uint32_t>;
    EXPECT_EQ(windows({{"sliding_window", 16}}), (W{0, 0, 0})) << "Llama has none";
    EXPECT_EQ(windows({{"architectures", {"MistralForCausalLM"}}, {"sliding_window", 16}}), (W{16, 16, 16}));
    EXPECT_EQ(windows({{"architectures", {"MistralForCausalLM"}}, {"sliding_window", nullptr}}), (W{0, 0, 0}));
    EXPECT_EQ(windows({{"architectures", {"MistralForCausalLM"}}}), (W{4096, 4096, 4096}));
    const Json qwen = {{"architectures", {"Qwen2ForCausalLM"}}, {"sliding_window", 16}, {"max_window_layers", 2}};
    EXPECT_EQ(windows(qwen), (W{0, 0, 0})) << "not switched on";
    Json on = qwen;
    on["use_sliding_window"] = true;
    EXPECT_EQ(windows(on), (W{0, 0, 16}));
    on["layer_types"] = {"sliding_attention", "full_attention", "full_attention"};
    EXPECT_EQ(windows(on), (W{16, 0, 0}));
    on["layer_types"] = {"sliding_attention"};
    EXPECT_EQ(d.with("layer_types", 3).ok(), true) << "Llama does not look at it";
    Json j = TinyModel({}).config;
    j.update(on);
    EXPECT_EQ(d.read(j.dump()).error().code, ErrorCode::kMalformed);
    j["layer_types"] = {"full_attention", "linear_attention", "full_attention"};
    EXPECT_EQ(d.read(j.dump()).error().code, ErrorCode::kUnsupported);
}

TEST(Config, WithoutConfigFile) {
    TempDir dir;
    TinyModel({}).write(dir / "m");
    std::filesystem::rename(dir / "m" / "model.safetensors", dir / "alone.safetensors");
    const auto single = ModelDirectory::open(dir / "alone.safetensors");
    ASSERT_TRUE(single.ok()) << single.error().text();
    const auto c = read_config(**single);
    ASSERT_FALSE(c.ok());
    EXPECT_EQ(c.error().code, ErrorCode::kNotFound) << c.error().text();
    EXPECT_EQ(architecture_or_unknown(**single), "unknown");
    std::filesystem::rename(dir / "alone.safetensors", dir / "m" / "model.safetensors");
    EXPECT_EQ(architecture_or_unknown(**ModelDirectory::open(dir / "m")), "LlamaForCausalLM");
}

}  // namespace

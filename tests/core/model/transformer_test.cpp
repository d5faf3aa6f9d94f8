// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include "core/model/transformer.h"
#include "tests/core/compute/levels.h"
#include "tests/core/compute/weights.h"
#include "tests/core/model/tiny_model.h"

namespace {

using namespace tenpak;
using namespace tenpak::model;
using namespace tenpak::test;

struct Loaded {
    TempDir dir;
    std::unique_ptr<compute::Backend> backend;
    std::unique_ptr<Transformer> model;
};
std::unique_ptr<Loaded> load(const TinyModel& m, const compute::CpuFeatures& features, bool f32 = true) {
    auto l = std::make_unique<Loaded>();
    m.write(l->dir / "m");
    l->backend = compute::make_cpu_backend(2, features);
    auto source = ModelDirectory::open(l->dir / "m");
    EXPECT_TRUE(source.ok()) << source.error().text();
    auto t = Transformer::load(*source, {}, *l->backend, {f32}, {});
    EXPECT_TRUE(t.ok()) << t.error().text();
    if (t.ok()) l->model = std::move(*t);
    return l;
}
ErrorCode load_error(const std::filesystem::path& dir, std::string* text = nullptr) {
    auto backend = compute::make_cpu_backend(1);
    auto source = ModelDirectory::open(dir);
    if (!source.ok()) return source.error().code;
    auto t = Transformer::load(*source, {}, *backend, {}, {});
    EXPECT_FALSE(t.ok());
    if (t.ok()) return ErrorCode::kInternal;
    if (text != nullptr) *text = t.error().text();
    return t.error().code;
}

TEST(Transformer, LogitsMatchDoubleOnEveryLevelAndShape) {
    TinyShape gqa, untied, biased, wide;
    untied.tied = false;
    untied.dtype = DType::kF32;
    biased.attention_bias = biased.mlp_bias = true;
    biased.dtype = DType::kF16;
    wide.head_dim = 16;  // heads * head_dim != hidden
    for (const TinyShape& shape : {gqa, untied, biased, wide}) {
        const TinyModel tiny(shape);
        const auto tokens = random_tokens(40, shape.vocab, 5);
        const auto want = tiny.logits(tokens);
        for (const auto& [level, features] : cpu_levels()) {
            for (const bool f32 : {true, false}) {
                const auto l = load(tiny, features, f32);
                ASSERT_TRUE(l->model);
                KvCache cache(l->model->config(), *l->backend, 1, 64);
                std::vector<float> logits;
                const SequenceChunk chunk{0, tokens};
                ASSERT_TRUE(l->model->forward({&chunk, 1}, cache, LogitsOf::kAll, logits).ok());
                EXPECT_LT(relative_error(logits, want), 2e-5) << level << " fp32 " << f32;
            }
        }
    }
}

TEST(Transformer, TokenByTokenEqualsPrefill) {
    const TinyModel tiny({});
    const auto tokens = random_tokens(30, tiny.shape.vocab, 6);
    const auto want = tiny.logits(tokens);
    const auto l = load(tiny, compute::cpu_features());
    KvCache cache(l->model->config(), *l->backend, 2, 32);
    for (std::size_t t = 0; t < tokens.size(); ++t) {
        const SequenceChunk chunk{1, std::span(tokens).subspan(t, 1)};
        std::vector<float> logits;
        ASSERT_TRUE(l->model->forward({&chunk, 1}, cache, LogitsOf::kLastOfChunk, logits).ok());
        EXPECT_EQ(cache.length(1), t + 1);
        const std::vector<double> row(want.begin() + static_cast<std::ptrdiff_t>(t * tiny.shape.vocab), want.begin() + static_cast<std::ptrdiff_t>((t + 1) * tiny.shape.vocab));
        EXPECT_LT(relative_error(logits, row), 2e-5) << "position " << t;
    }
    // Going back and on again gives the same.
    cache.truncate(1, 10);
    const SequenceChunk rest{1, std::span(tokens).subspan(10)};
    std::vector<float> logits;
    ASSERT_TRUE(l->model->forward({&rest, 1}, cache, LogitsOf::kLastOfChunk, logits).ok());
    EXPECT_LT(relative_error(logits, std::vector<double>(want.end() - tiny.shape.vocab, want.end())), 2e-5);
}

TEST(Transformer, BatchEqualsSingle) {
    const TinyModel tiny({});
    const auto l = load(tiny, compute::cpu_features());
    std::vector<std::vector<Token>> texts;
    std::vector<std::vector<double>> want;
    for (unsigned s = 0; s < 5; ++s) {
        texts.push_back(random_tokens(3 + 7 * s, tiny.shape.vocab, s));
        want.push_back(tiny.logits(texts.back()));
    }
    KvCache cache(l->model->config(), *l->backend, 5, 40);
    std::vector<SequenceChunk> chunks;
    for (std::uint32_t s = 0; s < 5; ++s) chunks.push_back({4 - s, std::span(texts[s]).first(texts[s].size() - 1)});
    std::vector<float> logits;
    ASSERT_TRUE(l->model->forward(chunks, cache, LogitsOf::kNone, logits).ok());
    EXPECT_TRUE(logits.empty());
    for (std::uint32_t s = 0; s < 5; ++s) chunks[s].tokens = std::span(texts[s]).last(1);
    ASSERT_TRUE(l->model->forward(chunks, cache, LogitsOf::kLastOfChunk, logits).ok());
    for (std::size_t s = 0; s < 5; ++s) {
        const std::vector<float> got(logits.begin() + static_cast<std::ptrdiff_t>(s * tiny.shape.vocab), logits.begin() + static_cast<std::ptrdiff_t>((s + 1) * tiny.shape.vocab));
        EXPECT_LT(relative_error(got, std::vector<double>(want[s].end() - tiny.shape.vocab, want[s].end())), 2e-5) << "sequence " << s;
    }
}

TEST(Transformer, LayerByLayerEqualsForwardAndObserverSeesEveryInput) {
    const TinyModel tiny({});
    const auto l = load(tiny, compute::cpu_features());
    const auto tokens = random_tokens(24, tiny.shape.vocab, 7);
    std::vector<float> hidden;
    ASSERT_TRUE(l->model->embed(tokens, hidden).ok());
    std::vector<std::string> seen;
    for (std::uint32_t layer = 0; layer < tiny.shape.layers; ++layer) {
        const auto observe = [&](const std::string& name, const float* x, std::uint32_t count, std::uint32_t k) {
            seen.push_back(name);
            EXPECT_EQ(count, 24u);
            EXPECT_TRUE(std::isfinite(x[std::size_t{count} * k - 1]));
        };
        ASSERT_TRUE(l->model->run_layer(layer, hidden, 12, observe).ok());
    }
    std::vector<std::string> names;
    for (std::uint32_t layer = 0; layer < tiny.shape.layers; ++layer) {
        for (const auto& n : l->model->linear_names(layer)) names.push_back(n);
    }
    EXPECT_EQ(seen, names);
    // Two windows of 12: the same as two sequences of a forward pass, up to the final norm.
    KvCache cache(l->model->config(), *l->backend, 2, 12);
    const SequenceChunk chunks[] = {{0, std::span(tokens).first(12)}, {1, std::span(tokens).last(12)}};
    std::vector<float> normed;
    ASSERT_TRUE(l->model->hidden_states(chunks, cache, normed).ok());
    l->backend->rms_norm(hidden.data(), tiny.tensors.at("model.norm.weight").data(), 1e-5f, 24, tiny.shape.hidden, hidden.data(), false);
    EXPECT_LT(relative_error(hidden, normed), 1e-6);
    EXPECT_EQ(l->model->run_layer(0, hidden, 7, {}).error().code, ErrorCode::kInvalidArgument);
    EXPECT_EQ(l->model->run_layer(99, hidden, 12, {}).error().code, ErrorCode::kInvalidArgument);
}

TEST(Transformer, ReplacedWeightsAreUsed) {
    TinyShape shape;
    shape.attention_bias = true;
    TinyModel tiny(shape);
    const auto l = load(tiny, compute::cpu_features());
    const auto tokens = random_tokens(10, tiny.shape.vocab, 8);
    const std::string name = "model.layers.1.self_attn.q_proj.weight", norm = "model.layers.2.input_layernorm.weight";
    compute::LinearWeight w;
    w.n = shape.heads * shape.head_dim;
    w.k = shape.hidden;
    w.f32 = random_floats(std::size_t{w.n} * w.k, 3, 0.2f);
    ASSERT_TRUE(l->model->set_linear(name, w).ok());
    tiny.tensors[name] = w.f32;
    tiny.tensors[norm] = random_floats(shape.hidden, 4);
    ASSERT_TRUE(l->model->set_vector(norm, tiny.tensors[norm]).ok());
    KvCache cache(l->model->config(), *l->backend, 1, 10);
    const SequenceChunk chunk{0, tokens};
    std::vector<float> logits;
    ASSERT_TRUE(l->model->forward({&chunk, 1}, cache, LogitsOf::kAll, logits).ok());
    EXPECT_LT(relative_error(logits, tiny.logits(tokens)), 2e-5) << "weight, bias and norm";
    w.n = 1;
    EXPECT_EQ(l->model->set_linear(name, w).error().code, ErrorCode::kMismatch);
    EXPECT_EQ(l->model->set_linear("nothing", w).error().code, ErrorCode::kNotFound);
    EXPECT_EQ(l->model->set_vector(norm, {1.0f}).error().code, ErrorCode::kMismatch);
}

TEST(Transformer, OverridesReplaceTensorsAndMayStandAlone) {
    TinyModel tiny({});
    const std::string name = "model.layers.0.mlp.down_proj.weight";
    compute::WeightOverrides overrides;
    compute::LinearWeight& w = overrides.linears[name];
    w = random_weight(compute::WeightFormat::kInt4Group, tiny.shape.hidden, tiny.shape.intermediate, 28, 3);
    const auto dense = w.dequantize();
    TempDir dir;
    tiny.tensors.erase(name);  // a quantized checkpoint has no such tensor
    tiny.write(dir / "m");
    tiny.tensors[name] = dense;
    auto source = ModelDirectory::open(dir / "m");
    ASSERT_TRUE(source.ok());
    auto backend = compute::make_cpu_backend(2);
    auto model = Transformer::load(*source, overrides, *backend, {true}, {});
    ASSERT_TRUE(model.ok()) << model.error().text();
    const auto tokens = random_tokens(20, tiny.shape.vocab, 9);
    KvCache cache((*model)->config(), *backend, 1, 20);
    const SequenceChunk chunk{0, tokens};
    std::vector<float> logits;
    ASSERT_TRUE((*model)->forward({&chunk, 1}, cache, LogitsOf::kAll, logits).ok());
    EXPECT_LT(relative_error(logits, tiny.logits(tokens)), 5e-3);
    EXPECT_EQ((*model)->kernels().size(), 2u);
    w.n -= 1;
    EXPECT_EQ(Transformer::load(*source, overrides, *backend, {}, {}).error().code, ErrorCode::kMismatch);
}

TEST(Transformer, BadModelsAreNamed) {
    TempDir dir;
    std::string text;
    {
        TinyModel m({});
        m.tensors.erase("model.layers.1.mlp.up_proj.weight");
        m.write(dir / "missing");
        EXPECT_EQ(load_error(dir / "missing", &text), ErrorCode::kNotFound);
        EXPECT_NE(text.find("model.layers.1.mlp.up_proj.weight"), std::string::npos) << text;
    }
    for (const float bad : {std::nanf(""), INFINITY}) {
        TinyModel m({});
        m.tensors["model.layers.2.self_attn.o_proj.weight"][77] = bad;
        m.write(dir / "nan");
        EXPECT_EQ(load_error(dir / "nan", &text), ErrorCode::kNumeric);
        EXPECT_NE(text.find("model.layers.2.self_attn.o_proj.weight"), std::string::npos) << text;
    }
    {
        TinyModel m({});
        m.tensors["model.norm.weight"][3] = std::nanf("");
        m.write(dir / "nan");
        EXPECT_EQ(load_error(dir / "nan", &text), ErrorCode::kNumeric);
        EXPECT_NE(text.find("model.norm.weight"), std::string::npos) << text;
    }
    {
        TinyModel m({});
        m.config["intermediate_size"] = 120;
        m.write(dir / "shape");
        EXPECT_EQ(load_error(dir / "shape", &text), ErrorCode::kMismatch);
        EXPECT_NE(text.find("[112, 48]"), std::string::npos) << text;
    }
}

TEST(Transformer, BadRequests) {
    const TinyModel tiny({});
    const auto l = load(tiny, compute::cpu_features());
    KvCache cache(l->model->config(), *l->backend, 2, 4);
    std::vector<float> logits;
    const std::vector<Token> fine = {1, 2, 3}, outside = {1, 101}, negative = {-1}, many(5, 1);
    const auto code = [&](std::vector<SequenceChunk> chunks) {
        const auto s = l->model->forward(chunks, cache, LogitsOf::kAll, logits);
        return s.ok() ? ErrorCode::kInternal : s.error().code;
    };
    EXPECT_EQ(code({{0, outside}}), ErrorCode::kInvalidArgument);
    EXPECT_EQ(code({{0, negative}}), ErrorCode::kInvalidArgument);
    EXPECT_EQ(code({{0, many}}), ErrorCode::kInvalidArgument);
    EXPECT_EQ(code({{2, fine}}), ErrorCode::kInvalidArgument);
    EXPECT_EQ(code({{0, fine}, {0, fine}}), ErrorCode::kInvalidArgument);
    EXPECT_EQ(code({{0, {}}}), ErrorCode::kInvalidArgument);
    EXPECT_EQ(cache.length(0), 0u) << "a refused batch changes nothing";
    std::stop_source stop;
    stop.request_stop();
    l->model->set_stop(stop.get_token());
    EXPECT_EQ(code({{0, fine}}), ErrorCode::kCancelled);
    EXPECT_EQ(cache.length(0), 0u);
}

}  // namespace

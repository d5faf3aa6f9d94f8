// SPDX-License-Identifier: Apache-2.0
// Which engines load what, by the reference's rules on real shapes.
#include "core/quant/engine_support.h"

#include <gtest/gtest.h>

#include "tests/core/quant/any_candidate.h"
#include "tests/core/quant/tiny_model.h"

using namespace tenpak;
using namespace tenpak::quant;

namespace {

class EngineSupport : public testing::Test {
   protected:
    test::TempDir dir;
    std::shared_ptr<const ModelDirectory> source;
    model::ModelConfig config;
    void open(std::uint32_t hidden, std::uint32_t intermediate) {
        test::TinyModel tiny;
        tiny.hidden = hidden;
        tiny.intermediate = intermediate;
        tiny.layers = 1;
        const auto opened = ModelDirectory::open(tiny.write(dir, "m" + std::to_string(hidden)));
        ASSERT_TRUE(opened.ok());
        source = *opened;
        config = *model::read_config(*source);
    }
    EngineVerdict verdict(const char* candidate, Layout layout, Engine engine) {
        for (const EngineVerdict& v : engine_verdicts(config, *find_candidate(candidate), layout)) {
            if (v.engine == engine) return v;
        }
        return {};
    }
    Loads loads(const char* candidate, Layout layout, Engine engine) { return verdict(candidate, layout, engine).loads; }
};
using L = Layout;
using E = Engine;

}  // namespace

TEST_F(EngineSupport, AlignedShapesTakeMarlin) {
    open(256, 512);
    for (const char* c : {"rtn_g128", "awq_g128", "awq_g256", "gptq_g128_sym"}) {
        for (const L l : {L::kCompressedTensors, L::kAutoAwq}) {
            EXPECT_EQ(loads(c, l, E::kVllm), Loads::kYes) << c;
            EXPECT_EQ(loads(c, l, E::kSglang), Loads::kYes) << c;
        }
    }
    EXPECT_EQ(verdict("awq_g128", L::kAutoAwq, E::kVllm).kernel, "Marlin");
    EXPECT_EQ(verdict("gptq_g128_sym", L::kGptq, E::kVllm).kernel, "Marlin (Machete on H100)");
    EXPECT_EQ(loads("gptq_g128_sym", L::kGptq, E::kVllm), Loads::kYes);
    EXPECT_EQ(loads("int8_g128", L::kGptq, E::kVllm), Loads::kYes);
    EXPECT_EQ(loads("int4_residual", L::kCompressedTensors, E::kVllm), Loads::kYes);
}

TEST_F(EngineSupport, GptqWithZeroPointsOrGroupIndexHasConditions) {
    open(256, 512);
    const EngineVerdict zeros = verdict("gptq_g128", L::kGptq, E::kVllm);
    EXPECT_EQ(zeros.loads, Loads::kConditionally);
    EXPECT_NE(zeros.why.find("float16"), std::string::npos);
    EXPECT_EQ(zeros.instead, "compressed-tensors");
    EXPECT_EQ(verdict("gptq_g128_desc", L::kGptq, E::kVllm).loads, Loads::kConditionally);
    EXPECT_EQ(loads("gptq_g128_sym", L::kGptqV2, E::kTgi), Loads::kNo);
    // compressed-tensors no longer knows a group index.
    EXPECT_EQ(loads("gptq_g128_desc", L::kCompressedTensors, E::kTransformers), Loads::kNo);
    EXPECT_EQ(verdict("gptq_g128_desc", L::kCompressedTensors, E::kTransformers).instead, "gptq");
    EXPECT_EQ(default_layout(config, *find_candidate("gptq_g128_desc")), L::kGptq);
    EXPECT_EQ(loads("gptq_g128_desc", L::kAutoAwq, E::kVllm), Loads::kNo);
}

// 576 is not a multiple of 128: groups of 64, and Marlin's tiles do not fit. The group sizes are the real ones, not the candidate's.
TEST_F(EngineSupport, WidthsThatFitNoTile) {
    open(576, 1536);
    const EngineVerdict v = verdict("awq_g128", L::kAutoAwq, E::kVllm);
    EXPECT_EQ(v.loads, Loads::kConditionally);
    EXPECT_NE(v.why.find("N = "), std::string::npos) << v.why;
    EXPECT_NE(v.why.find("K = 576"), std::string::npos) << v.why;
    EXPECT_NE(v.why.find("3 of 4 modules"), std::string::npos) << v.why;  // q k v, o, gate up, down: down alone is 1536 wide
    const EngineVerdict no = verdict("awq_g128", L::kCompressedTensors, E::kSglang);
    EXPECT_EQ(no.loads, Loads::kNo);
    EXPECT_EQ(no.instead, "awq");
    EXPECT_EQ(default_layout(config, *find_candidate("awq_g128")), L::kAutoAwq);
}

TEST_F(EngineSupport, OtherFormats) {
    open(256, 512);
    EXPECT_EQ(loads("nf4", L::kBitsandbytes, E::kTransformers), Loads::kConditionally);
    EXPECT_EQ(loads("nf4", L::kBitsandbytes, E::kTgi), Loads::kNo);
    EXPECT_EQ(verdict("nf4", L::kBitsandbytes, E::kTgi).instead, "bf16");
    EXPECT_EQ(loads("nf4", L::kCompressedTensors, E::kVllm), Loads::kNo);
    EXPECT_NE(verdict("fp8", L::kCompressedTensors, E::kVllm).why.find("sm89"), std::string::npos);
    EXPECT_NE(verdict("int8", L::kCompressedTensors, E::kVllm).why.find("sm75"), std::string::npos);
    EXPECT_EQ(loads("llm_int8", L::kCompressedTensors, E::kVllm), Loads::kNo);
    for (const char* c : {"int8", "nf4", "awq_g128"}) {
        EXPECT_EQ(loads(c, L::kBf16, E::kVllm), Loads::kYes);
        EXPECT_EQ(loads(c, L::kCompressedTensors, E::kLlamaCpp), Loads::kNo);
    }
    EXPECT_EQ(default_layout(config, *find_candidate("nf4")), L::kBitsandbytes);
    EXPECT_EQ(default_layout(config, *find_candidate("llm_int8")), L::kBitsandbytes);
    EXPECT_EQ(default_layout(config, *find_candidate("int8")), L::kCompressedTensors);
    EXPECT_EQ(default_layout(config, *find_candidate("mixed")), L::kCompressedTensors);
    EXPECT_EQ(default_layout(config, *find_candidate("int4_sparse25")), L::kCompressedTensors);
}

TEST_F(EngineSupport, FusedModulesMustAgree) {
    open(256, 512);
    QuantizedModel m = test::any_candidate(*source, *find_candidate("gptq_g128_sym"));
    const auto of = [&](Engine engine) {
        for (const EngineVerdict& v : engine_verdicts(config, m, L::kCompressedTensors)) {
            if (v.engine == engine) return v;
        }
        return EngineVerdict{};
    };
    EXPECT_EQ(of(E::kVllm).loads, Loads::kYes);
    const QuantizedModel eight = test::any_candidate(*source, *find_candidate("int8_g128"));
    const auto swap = [&](const char* name) { m.weights.linears[name] = eight.weights.linears.at(name); };
    swap("model.layers.0.mlp.down_proj.weight");
    EXPECT_EQ(of(E::kVllm).loads, Loads::kYes);  // a module of its own
    swap("model.layers.0.self_attn.v_proj.weight");
    EXPECT_EQ(of(E::kVllm).loads, Loads::kNo);
    EXPECT_NE(of(E::kVllm).why.find("q, k and v"), std::string::npos);
    EXPECT_EQ(of(E::kTransformers).loads, Loads::kConditionally);
    swap("model.layers.0.self_attn.q_proj.weight");
    swap("model.layers.0.self_attn.k_proj.weight");
    EXPECT_EQ(of(E::kVllm).loads, Loads::kYes);
    // Zero points beside another scheme: transformers dequantizes by one scheme for all.
    const QuantizedModel zeros = test::any_candidate(*source, *find_candidate("rtn_g128"));
    m.weights.linears["model.layers.0.self_attn.o_proj.weight"] = zeros.weights.linears.at("model.layers.0.self_attn.o_proj.weight");
    EXPECT_EQ(of(E::kTransformers).loads, Loads::kNo);
    EXPECT_EQ(of(E::kVllm).loads, Loads::kYes);
}

TEST_F(EngineSupport, TextAndJsonSayTheSame) {
    open(256, 512);
    const auto verdicts = engine_verdicts(config, *find_candidate("awq_g128"), L::kAutoAwq);
    const OrderedJson j = verdicts_json(verdicts);
    ASSERT_EQ(j.size(), 5u);
    const std::string text = verdicts_text(verdicts);
    for (const auto& v : j) EXPECT_NE(text.find(v["engine"].get<std::string>()), std::string::npos);
    EXPECT_EQ(j[0]["kernel"], "Marlin");
    EXPECT_TRUE(j[0]["why"].is_null());
}

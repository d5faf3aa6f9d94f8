// SPDX-License-Identifier: Apache-2.0
// Every layout: golden words of the reference (optimizer.md section 4), what it refuses, and that reading brings back the values.
#include <gtest/gtest.h>

#include <cstring>

#include "core/base/json.h"
#include "core/base/nf4.h"
#include "core/compute/cpu/cpu_backend.h"
#include "core/model/transformer.h"
#include "core/quant/export_layout.h"
#include "core/quant/layouts/bitsandbytes.h"
#include "core/quant/layouts/int8_form.h"
#include "core/quant/layouts/integer_groups.h"
#include "tests/core/quant/any_candidate.h"
#include "tests/core/quant/tiny_model.h"

using namespace tenpak;
using namespace tenpak::quant;
using compute::LinearWeight;
using compute::WeightFormat;

namespace {

const char* kQ = "model.layers.0.self_attn.q_proj";

class Layouts : public testing::Test {
   protected:
    test::TempDir dir;
    std::shared_ptr<const ModelDirectory> source;
    model::ModelConfig config;
    int written = 0;

    void SetUp() override { open({}); }
    void open(const test::TinyModel& tiny) {
        const auto opened = ModelDirectory::open(tiny.write(dir, "m" + std::to_string(written++)));
        ASSERT_TRUE(opened.ok()) << opened.error().text();
        source = *opened;
        config = *model::read_config(*source);
    }
    /// The exported directory.
    std::shared_ptr<const ModelDirectory> write(Layout layout, const QuantizedModel& m) {
        const auto out = dir / ("out" + std::to_string(written++));
        const Status s = export_model(layout, *source, {"generation_config.json"}, m, out, {});
        EXPECT_TRUE(s.ok()) << s.error().text();
        auto back = ModelDirectory::open(out);
        EXPECT_TRUE(back.ok());
        return back.ok() ? *back : nullptr;
    }
    Error refused(Layout layout, const QuantizedModel& m) {
        const auto out = dir / ("out" + std::to_string(written++));
        const Status s = export_model(layout, *source, {}, m, out, {});
        EXPECT_FALSE(s.ok());
        EXPECT_FALSE(std::filesystem::exists(out));
        return s.ok() ? Error{} : s.error();
    }
};

template <class T>
std::vector<T> values(const ModelSource& s, const std::string& name) {
    const TensorInfo* t = s.find(name);
    EXPECT_NE(t, nullptr) << name;
    if (t == nullptr) return {};
    std::vector<T> v(t->bytes / sizeof(T));
    EXPECT_TRUE(s.read(*t, 0, std::as_writable_bytes(std::span(v))).ok());
    return v;
}

Json quantization_of(const ModelSource& s) { return parse_json(as_text(*s.read_side_file("config.json")), "config.json").value()["quantization_config"]; }

void set_code(LinearWeight& w, std::size_t row, std::size_t column, unsigned code) {
    std::uint8_t& b = w.codes[(row * w.k + column) / 2];
    b = static_cast<std::uint8_t>(column % 2 == 0 ? (b & 0xf0u) | code : (b & 0x0fu) | code << 4);
}

void expect_same_values(const QuantizedModel& m, const compute::WeightOverrides& back, bool same_form) {
    ASSERT_EQ(back.linears.size(), m.weights.linears.size());
    for (const auto& [name, w] : m.weights.linears) {
        const LinearWeight& b = back.linears.at(name);
        EXPECT_EQ(b.dequantize(), w.dequantize()) << name;
        EXPECT_EQ(b.outlier_threshold, w.outlier_threshold) << name;
        if (!same_form) continue;
        EXPECT_EQ(b.format, w.format) << name;
        EXPECT_EQ(b.codes, w.codes) << name;
        EXPECT_EQ(b.scales, w.scales) << name;
        EXPECT_EQ(b.zeros, w.zeros) << name;
        EXPECT_EQ(b.scale_codes, w.scale_codes) << name;
        EXPECT_EQ(b.nested_scales, w.nested_scales) << name;
        EXPECT_EQ(b.nested_offset, w.nested_offset) << name;
    }
}

}  // namespace

TEST_F(Layouts, EveryCandidateComesBackFromEveryLayoutThatHoldsIt) {
    struct Case { const char* candidate; std::vector<Layout> layouts; };
    const std::vector<Case> cases = {
        {"int8", {Layout::kCompressedTensors, Layout::kBitsandbytes}},
        {"llm_int8", {Layout::kBitsandbytes}},
        {"int8_g128", {Layout::kCompressedTensors, Layout::kGptq, Layout::kGptqV2}},
        {"fp8", {Layout::kCompressedTensors}},
        {"nf4", {Layout::kBitsandbytes}},
        {"rtn_g128", {Layout::kCompressedTensors, Layout::kAutoAwq, Layout::kGptq, Layout::kGptqV2}},
        {"awq_g256", {Layout::kCompressedTensors, Layout::kAutoAwq, Layout::kGptq, Layout::kGptqV2}},
        {"gptq_g128_sym", {Layout::kCompressedTensors, Layout::kAutoAwq, Layout::kGptq, Layout::kGptqV2}},
        {"gptq_g128_desc", {Layout::kCompressedTensors, Layout::kGptq, Layout::kGptqV2}},
        {"int4_residual", {Layout::kCompressedTensors, Layout::kGptq, Layout::kGptqV2}},
        {"int4_sparse25", {Layout::kCompressedTensors, Layout::kGptq, Layout::kGptqV2}},
    };
    // Groups of 64 and 32 (fallback), and of 256 and 128.
    for (const std::uint32_t hidden : {64u, 256u}) {
        test::TinyModel tiny;
        tiny.hidden = hidden;
        tiny.intermediate = hidden == 64 ? 160 : 384;
        open(tiny);
        for (const Case& c : cases) {
            const Candidate candidate = *find_candidate(c.candidate);
            for (const bool nested : {false, true}) {
                if (nested && candidate.format != WeightFormat::kNf4Group) continue;
                const QuantizedModel m = test::any_candidate(*source, candidate, nested);
                for (const Layout layout : kLayouts) {
                    if (layout == Layout::kGguf) continue;
                    const bool holds = layout == Layout::kBf16 || std::find(c.layouts.begin(), c.layouts.end(), layout) != c.layouts.end();
                    SCOPED_TRACE(std::string(c.candidate) + " as " + layout_name(layout) + ", hidden " + std::to_string(hidden));
                    const Status can = check_layout(layout, config, candidate);
                    EXPECT_EQ(can.ok(), holds) << (can.ok() ? "" : can.error().text());
                    if (!holds) {
                        EXPECT_EQ(refused(layout, m).code, ErrorCode::kUnsupported);
                        EXPECT_NE(can.error().hint.find("bf16"), std::string::npos);
                        continue;
                    }
                    const auto out = write(layout, m);
                    ASSERT_NE(out, nullptr);
                    const auto back = import_quantized(*out, {});
                    ASSERT_TRUE(back.ok()) << back.error().text();
                    if (layout == Layout::kBf16) {
                        EXPECT_TRUE(back->linears.empty());
                        EXPECT_EQ(out->tensors().size(), source->tensors().size());
                        continue;
                    }
                    const bool exact_form = layout != Layout::kGptq && layout != Layout::kGptqV2 && layout != Layout::kAutoAwq && !has_int8_form(candidate.format) && candidate.group != 256 && !(candidate.format == WeightFormat::kInt4Group && !candidate.symmetric);
                    expect_same_values(m, *back, exact_form);
                }
            }
        }
    }
}

TEST_F(Layouts, AutoAwqWords) {
    QuantizedModel m = test::any_candidate(*source, *find_candidate("rtn_g128"));
    LinearWeight& w = m.weights.linears.at(std::string(kQ) + ".weight");
    for (unsigned row = 0; row < 8; ++row) set_code(w, row, 0, row);
    std::fill(w.zeros.begin(), w.zeros.end(), std::uint8_t{8});
    const auto out = write(Layout::kAutoAwq, m);
    EXPECT_EQ(values<std::uint32_t>(*out, std::string(kQ) + ".qweight")[0], 0x75316420u);
    EXPECT_EQ(values<std::uint32_t>(*out, std::string(kQ) + ".qzeros")[0], 0x88888888u);
    EXPECT_EQ(out->find(std::string(kQ) + ".qweight")->shape, (std::vector<std::uint64_t>{64, 8}));
    // Groups of 64 are written as two of 32, for down_proj has groups of 32.
    EXPECT_EQ(out->find(std::string(kQ) + ".scales")->shape, (std::vector<std::uint64_t>{2, 64}));
    EXPECT_EQ(out->find(std::string(kQ) + ".scales")->dtype, DType::kF16);
    EXPECT_EQ(out->find(std::string(kQ) + ".weight"), nullptr);
    const Json q = quantization_of(*out);
    EXPECT_EQ(q["quant_method"], "awq");
    EXPECT_EQ(q["group_size"], 32);
    EXPECT_EQ(q["zero_point"], true);
    EXPECT_EQ(q["version"], "gemm");
}

TEST_F(Layouts, GptqWords) {
    QuantizedModel m = test::any_candidate(*source, *find_candidate("gptq_g128_sym"));
    LinearWeight& w = m.weights.linears.at(std::string(kQ) + ".weight");
    for (unsigned c = 0; c < 8; ++c) set_code(w, 0, c, c);
    const auto v1 = write(Layout::kGptq, m), v2 = write(Layout::kGptqV2, m);
    EXPECT_EQ(values<std::uint32_t>(*v1, std::string(kQ) + ".qweight")[0], 0x76543210u);
    EXPECT_EQ(v1->find(std::string(kQ) + ".qweight")->shape, (std::vector<std::uint64_t>{8, 64}));
    EXPECT_EQ(values<std::uint32_t>(*v1, std::string(kQ) + ".qzeros")[0], 0x77777777u);
    EXPECT_EQ(values<std::uint32_t>(*v2, std::string(kQ) + ".qzeros")[0], 0x88888888u);
    const auto index = values<std::int32_t>(*v1, std::string(kQ) + ".g_idx");
    ASSERT_EQ(index.size(), 64u);
    EXPECT_EQ(index[31], 0);
    EXPECT_EQ(index[32], 1);
    EXPECT_EQ(quantization_of(*v1)["checkpoint_format"], "gptq");
    EXPECT_EQ(quantization_of(*v2)["checkpoint_format"], "gptq_v2");
    EXPECT_EQ(quantization_of(*v1)["sym"], true);
    EXPECT_EQ(quantization_of(*v1)["desc_act"], false);
    EXPECT_TRUE(v1->read_side_file("quantize_config.json").ok());
    const auto eight = write(Layout::kGptq, test::any_candidate(*source, *find_candidate("int8_g128")));
    EXPECT_EQ(values<std::uint32_t>(*eight, std::string(kQ) + ".qzeros")[0], 0x7f7f7f7fu);
    EXPECT_EQ(quantization_of(*eight)["bits"], 8);
    const auto desc = write(Layout::kGptq, test::any_candidate(*source, *find_candidate("gptq_g128_desc")));
    EXPECT_EQ(quantization_of(*desc)["desc_act"], true);
}

TEST_F(Layouts, GptqOneHasNoZeroPointOfZero) {
    QuantizedModel m = test::any_candidate(*source, *find_candidate("rtn_g128"));
    LinearWeight& w = m.weights.linears.at(std::string(kQ) + ".weight");
    // A group of zeros alone: raised by one, the same values.
    w.zeros[0] = 0;
    for (unsigned c = 0; c < w.group; ++c) set_code(w, 0, c, c == 3 ? 14 : 0);
    auto back = import_quantized(*write(Layout::kGptq, m), {});
    ASSERT_TRUE(back.ok());
    expect_same_values(m, *back, false);
    set_code(w, 0, 5, 15);
    const Error e = refused(Layout::kGptq, m);
    EXPECT_EQ(e.code, ErrorCode::kUnsupported);
    EXPECT_NE(e.text().find("gptq_v2"), std::string::npos);
    back = import_quantized(*write(Layout::kGptqV2, m), {});
    ASSERT_TRUE(back.ok());
    expect_same_values(m, *back, false);
}

// Checkpoints of old AutoGPTQ have biases of zeros that config.json does not ask for.
TEST_F(Layouts, GptqWithNeedlessBiasesRuns) {
    const auto out = write(Layout::kGptq, test::any_candidate(*source, *find_candidate("gptq_g128_sym")));
    std::vector<Bytes> data;
    std::vector<TensorToWrite> tensors;
    data.reserve(out->tensors().size() + 1);
    for (const TensorInfo& t : out->tensors()) {
        data.emplace_back(t.bytes);
        ASSERT_TRUE(out->read(t, 0, data.back()).ok());
        tensors.push_back({t.name, t.dtype, t.shape, data.back()});
    }
    data.emplace_back(64 * 2);
    tensors.push_back({std::string(kQ) + ".bias", DType::kF16, {64}, data.back()});
    dir.write("old/config.json", std::string(as_text(*out->read_side_file("config.json"))));
    ASSERT_TRUE(write_safetensors(dir / "old/model.safetensors", tensors).ok());
    const auto old = ModelDirectory::open(dir / "old");
    ASSERT_TRUE(old.ok());
    const auto overrides = import_quantized(**old, {});
    ASSERT_TRUE(overrides.ok()) << overrides.error().text();
    const auto backend = compute::make_cpu_backend();
    const auto model = model::Transformer::load(*old, *overrides, *backend, {}, {});
    EXPECT_TRUE(model.ok()) << model.error().text();
}

TEST_F(Layouts, Nf4BytesAndState) {
    QuantizedModel m = test::any_candidate(*source, *find_candidate("nf4"));
    LinearWeight& w = m.weights.linears.at(std::string(kQ) + ".weight");
    const unsigned codes[] = {15, 0, 7, 12};  // 1, -1, 0, 0.5 of a block's largest magnitude
    for (unsigned c = 0; c < 4; ++c) set_code(w, 0, c, codes[c]);
    const auto out = write(Layout::kBitsandbytes, m);
    const std::string name = std::string(kQ) + ".weight";
    const auto bytes = values<std::uint8_t>(*out, name);
    EXPECT_EQ(bytes[0], 0xf0);
    EXPECT_EQ(bytes[1], 0x7c);
    EXPECT_EQ(out->find(name)->shape, (std::vector<std::uint64_t>{64 * 64 / 2, 1}));
    EXPECT_EQ(values<float>(*out, name + ".quant_map"), std::vector<float>(kNf4Levels.begin(), kNf4Levels.end()));
    const auto text = values<std::uint8_t>(*out, name + ".quant_state.bitsandbytes__nf4");
    const Json state = *parse_json(as_text(std::as_bytes(std::span(text))), "state");
    EXPECT_EQ(state, Json({{"quant_type", "nf4"}, {"blocksize", 64}, {"dtype", "bfloat16"}, {"shape", {64, 64}}}));
    EXPECT_EQ(quantization_of(*out)["bnb_4bit_use_double_quant"], false);
    EXPECT_EQ(quantization_of(*out)["llm_int8_skip_modules"], Json({"lm_head"}));
    const auto twice = write(Layout::kBitsandbytes, test::any_candidate(*source, *find_candidate("nf4"), true));
    EXPECT_EQ(quantization_of(*twice)["bnb_4bit_use_double_quant"], true);
    EXPECT_EQ(twice->find(name + ".absmax")->dtype, DType::kU8);
    EXPECT_EQ(values<float>(*twice, name + ".nested_quant_map"), std::vector<float>(dynamic_levels().begin(), dynamic_levels().end()));
}

TEST_F(Layouts, LlmInt8Rows) {
    const QuantizedModel m = test::any_candidate(*source, *find_candidate("llm_int8"));
    const auto out = write(Layout::kBitsandbytes, m);
    const Json q = quantization_of(*out);
    EXPECT_EQ(q["load_in_8bit"], true);
    EXPECT_EQ(q["llm_int8_threshold"], 6.0);
    EXPECT_TRUE(out->find(std::string(kQ) + ".weight_format")->shape.empty());
    EXPECT_EQ(values<float>(*out, std::string(kQ) + ".SCB").size(), 64u);
    std::mt19937 rng(3);
    for (int i = 0; i < 100000; ++i) {  // any scale that is the 127th part of a float has its magnitude
        const float scale = static_cast<float>(1 + rng() % 1000000) * 1.7e-7f / 127.0f;
        ASSERT_EQ(row_magnitude(scale) / 127.0f, scale);
    }
}

TEST_F(Layouts, Fp8ConfigAndTensors) {
    const QuantizedModel m = test::any_candidate(*source, *find_candidate("fp8"));
    const auto out = write(Layout::kCompressedTensors, m);
    EXPECT_EQ(out->find(std::string(kQ) + ".weight")->dtype, DType::kF8E4M3);
    EXPECT_EQ(out->find(std::string(kQ) + ".weight_scale")->dtype, DType::kF32);
    EXPECT_EQ(out->find(std::string(kQ) + ".weight_scale")->shape, (std::vector<std::uint64_t>{64, 1}));
    const Json q = quantization_of(*out);
    EXPECT_EQ(q["format"], "float-quantized");
    EXPECT_EQ(q["config_groups"]["group_0"]["weights"]["type"], "float");
    EXPECT_EQ(q["config_groups"]["group_0"]["input_activations"]["type"], "float");
    EXPECT_EQ(q["config_groups"]["group_0"]["input_activations"]["dynamic"], true);
}

TEST_F(Layouts, CompressedTensorsMixesFormats) {
    // 4-bit groups, but 8 bit for all down_proj and layer 1's v_proj, and layer 0's o_proj in 16 bit.
    QuantizedModel m = test::any_candidate(*source, *find_candidate("gptq_g128_sym"));
    const QuantizedModel eight = test::any_candidate(*source, *find_candidate("int8_g128"));
    for (auto& [name, w] : m.weights.linears) {
        if (name.find("down_proj") != std::string::npos || name.find("layers.1.self_attn.v_proj") != std::string::npos) w = eight.weights.linears.at(name);
    }
    m.weights.linears.erase("model.layers.0.self_attn.o_proj.weight");
    const auto out = write(Layout::kCompressedTensors, m);
    const Json q = quantization_of(*out);
    EXPECT_EQ(q["format"], "pack-quantized");
    EXPECT_EQ(q["ignore"], Json({"lm_head", "model.layers.0.self_attn.o_proj"}));
    std::map<std::string, std::pair<int, int>> found;  // target -> bits, group
    for (const auto& [name, g] : q["config_groups"].items()) {
        for (const auto& t : g["targets"]) found[t.get<std::string>()] = {g["weights"]["num_bits"].get<int>(), g["weights"]["group_size"].get<int>()};
    }
    EXPECT_EQ(found.count("Linear"), 0u);
    EXPECT_EQ(found.at("re:.*\\.mlp\\.down_proj$"), (std::pair{8, 32}));
    EXPECT_EQ(found.at("re:.*layers\\.(1)\\.self_attn\\.v_proj$"), (std::pair{8, 64}));
    EXPECT_EQ(found.at("re:.*layers\\.(0)\\.self_attn\\.v_proj$"), (std::pair{4, 64}));
    EXPECT_EQ(found.at("re:.*\\.self_attn\\.q_proj$"), (std::pair{4, 64}));
    const auto back = import_quantized(*out, {});
    ASSERT_TRUE(back.ok()) << back.error().text();
    expect_same_values(m, *back, true);
    EXPECT_EQ(refused(Layout::kAutoAwq, m).code, ErrorCode::kUnsupported);
    EXPECT_EQ(refused(Layout::kGptq, m).code, ErrorCode::kUnsupported);
    // With FP8 beside them the formats differ, and each group says its own.
    const QuantizedModel fp8 = test::any_candidate(*source, *find_candidate("fp8"));
    m.weights.linears["model.layers.0.self_attn.o_proj.weight"] = fp8.weights.linears.at("model.layers.0.self_attn.o_proj.weight");
    const auto three = write(Layout::kCompressedTensors, m);
    EXPECT_EQ(quantization_of(*three)["format"], "mixed-precision");
    const auto all = import_quantized(*three, {});
    ASSERT_TRUE(all.ok()) << all.error().text();
    expect_same_values(m, *all, true);
}

TEST_F(Layouts, GroupIndexIsCutWithItsGroups) {
    test::TinyModel tiny;
    tiny.hidden = 256;
    tiny.intermediate = 512;
    open(tiny);
    Candidate c = *find_candidate("gptq_g128_desc");
    c.group = 256;
    const QuantizedModel m = test::any_candidate(*source, c);
    ASSERT_FALSE(m.weights.linears.at("model.layers.0.mlp.down_proj.weight").group_index.empty());
    for (const Layout l : {Layout::kCompressedTensors, Layout::kGptq}) {
        const auto out = write(l, m);
        const auto back = import_quantized(*out, {});
        ASSERT_TRUE(back.ok()) << back.error().text();
        EXPECT_EQ(back->linears.at("model.layers.0.mlp.down_proj.weight").group, 128u);
        expect_same_values(m, *back, false);
    }
    bool ordered = false;
    const Json groups = quantization_of(*write(Layout::kCompressedTensors, m))["config_groups"];
    for (const auto& [name, g] : groups.items()) ordered |= g["weights"]["actorder"] == "group";
    EXPECT_TRUE(ordered);
}

TEST_F(Layouts, ScalesBeyondFp16) {
    QuantizedModel m = test::any_candidate(*source, *find_candidate("rtn_g128"));
    LinearWeight& w = m.weights.linears.at(std::string(kQ) + ".weight");
    w.scales[0] = 0x1p-40f;
    const auto notes = layout_notes(Layout::kAutoAwq, m);
    EXPECT_TRUE(std::any_of(notes.begin(), notes.end(), [](const std::string& n) { return n.starts_with("1 scale is too fine"); }));
    EXPECT_NE(write(Layout::kAutoAwq, m), nullptr);
    w.scales[0] = 0x1p17f;
    EXPECT_NE(refused(Layout::kGptq, m).text().find("beyond fp16"), std::string::npos);
    EXPECT_NE(write(Layout::kCompressedTensors, m), nullptr);
}

TEST(LayoutNames, FindAndRefuse) {
    for (const Layout l : kLayouts) EXPECT_EQ(*find_layout(layout_name(l)), l);
    const auto unknown = find_layout("exl2");
    ASSERT_FALSE(unknown.ok());
    EXPECT_EQ(unknown.error().code, ErrorCode::kInvalidArgument);
    EXPECT_NE(unknown.error().text().find("gptq_v2"), std::string::npos);
}

TEST(CommonGroup, IsTheLargestThatDividesAll) {
    using Pairs = std::vector<std::pair<std::uint32_t, std::uint32_t>>;
    EXPECT_EQ(common_group(Pairs{{128, 1536}, {64, 576}}), 64u);
    EXPECT_EQ(common_group(Pairs{{256, 1024}}), 128u);
    EXPECT_EQ(common_group(Pairs{{160, 160}, {32, 64}}), 32u);
    EXPECT_EQ(common_group(Pairs{{100, 100}, {50, 50}}), 0u);
    EXPECT_EQ(common_group(Pairs{{100, 100}, {128, 256}}), std::nullopt);
}

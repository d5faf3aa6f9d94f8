// SPDX-License-Identifier: Apache-2.0
#include "core/quant/export_layout.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>

#include "core/base/json.h"
#include "core/quant/layouts/packing.h"
#include "core/quant/round_to_nearest.h"
#include "tests/core/quant/tiny_model.h"

using namespace tenpak;
using namespace tenpak::quant;
using compute::LinearWeight;
using compute::WeightFormat;

namespace {

std::uint32_t word(const Bytes& b, std::size_t i) {
    std::uint32_t v = 0;
    std::memcpy(&v, b.data() + i * 4, 4);
    return v;
}

// Round-to-nearest of the linears of a tiny model, made without the engine.
QuantizedModel quantized(const ModelSource& source, const Candidate& c) {
    QuantizedModel m;
    m.candidate = c;
    ThreadPool pool(2);
    for (const TensorInfo& t : source.tensors()) {
        if (!t.name.ends_with("_proj.weight")) continue;
        const auto w = source.read_float(t);
        EXPECT_TRUE(w.ok());
        const auto n = static_cast<std::uint32_t>(t.shape[0]), k = static_cast<std::uint32_t>(t.shape[1]);
        GroupFormat f;
        f.bits = c.bits;
        f.symmetric = c.symmetric;
        f.group = c.group == 0 ? k : group_for(c.group, k);
        m.weights.linears[t.name] = c.bits == 8 ? round_to_nearest_int8(*w, n, k, c.group == 0 ? 0 : f.group, f.min_scale, pool)
                                                : round_to_nearest_int4(*w, n, k, f, pool);
    }
    return m;
}

Json config_of(const std::filesystem::path& dir) {
    const auto text = read_text_file(dir / "config.json");
    EXPECT_TRUE(text.ok());
    const auto j = parse_json(*text, "config.json");
    EXPECT_TRUE(j.ok());
    return *j;
}

void expect_same(const LinearWeight& a, const LinearWeight& b, const std::string& name) {
    EXPECT_EQ(a.format, b.format) << name;
    EXPECT_EQ(a.n, b.n) << name;
    EXPECT_EQ(a.k, b.k) << name;
    EXPECT_EQ(a.codes, b.codes) << name;
    EXPECT_EQ(a.symmetric, b.symmetric) << name;
    EXPECT_EQ(a.group, b.group) << name;
    EXPECT_EQ(a.scales, b.scales) << name;
    EXPECT_EQ(a.zeros, b.zeros) << name;
}

}  // namespace

TEST(Packing, PutsCodesWhereCompressedTensorsReadsThem) {
    LinearWeight w;
    w.format = WeightFormat::kInt4Group;
    w.n = 1;
    w.k = 10;
    w.codes = {0x10, 0x32, 0x54, 0x76, 0x98};  // 0, 1, … 9; the stored value of q = -8 is 0
    const Bytes four = pack_codes(w);
    ASSERT_EQ(four.size(), 8u);
    EXPECT_EQ(word(four, 0), 0x76543210u);
    EXPECT_EQ(word(four, 1), 0x98u);
    EXPECT_EQ(unpack_codes(four, 1, 10, 4), w.codes);

    w.format = WeightFormat::kInt8Group;
    w.k = 6;
    w.codes = {0x80, 0xff, 0x00, 0x7f, 0x01, 0x02};  // -128, -1, 0, 127, 1, 2
    const Bytes eight = pack_codes(w);
    ASSERT_EQ(eight.size(), 8u);
    EXPECT_EQ(word(eight, 0), 0xff807f00u);
    EXPECT_EQ(word(eight, 1), 0x00008281u);
    EXPECT_EQ(unpack_codes(eight, 1, 6, 8), w.codes);
}
TEST(Packing, PutsZerosAlongTheRows) {
    std::vector<std::uint8_t> zeros;  // 10 rows, 2 groups: row r has r and 15 - r
    for (std::uint8_t r = 0; r < 10; ++r) {
        zeros.push_back(r);
        zeros.push_back(static_cast<std::uint8_t>(15 - r));
    }
    const Bytes once = pack_zeros(zeros, 10, 2, 1);
    ASSERT_EQ(once.size(), 16u);
    EXPECT_EQ(word(once, 0), 0x76543210u);
    EXPECT_EQ(word(once, 1), 0x89abcdefu);
    EXPECT_EQ(word(once, 2), 0x98u);
    EXPECT_EQ(word(once, 3), 0x67u);
    EXPECT_EQ(unpack_zeros(once, 10, 2), zeros);
    const Bytes twice = pack_zeros(zeros, 10, 2, 2);
    ASSERT_EQ(twice.size(), 32u);
    EXPECT_EQ(word(twice, 0), word(twice, 1));
    EXPECT_EQ(word(twice, 2), 0x89abcdefu);
}

TEST(Export, RoundTripsEveryScheme) {
    const test::TempDir dir;
    const auto source = ModelDirectory::open(test::TinyModel().write(dir, "m"));
    ASSERT_TRUE(source.ok());
    for (const char* name : {"int8", "int8_g128", "rtn_g128", "gptq_g128"}) {
        const Candidate c = *find_candidate(name);
        const QuantizedModel m = quantized(**source, c);
        const auto out = dir / (std::string("out-") + name);
        const Status s = export_compressed_tensors(**source, {"config.json", "generation_config.json"}, m, out, {});
        ASSERT_TRUE(s.ok()) << s.error().text();
        EXPECT_EQ(*read_text_file(out / "generation_config.json"), "{\"do_sample\": false}\n");
        const auto exported = ModelDirectory::open(out);
        ASSERT_TRUE(exported.ok()) << exported.error().text();
        const auto back = import_quantized(**exported, {});
        ASSERT_TRUE(back.ok()) << back.error().text();
        ASSERT_EQ(back->linears.size(), 14u);
        for (const auto& [tensor, w] : m.weights.linears) {
            if (c.bits == 4 && !c.symmetric) {  // ZeroPointsShareOneGroupSize
                EXPECT_EQ(back->linears.at(tensor).dequantize(), w.dequantize()) << tensor;
            } else {
                expect_same(back->linears.at(tensor), w, tensor);
            }
        }
        // Everything else is there, bit for bit; the dense weights of quantized linears are not.
        for (const TensorInfo& t : (*source)->tensors()) {
            const TensorInfo* e = (*exported)->find(t.name);
            if (m.weights.linears.contains(t.name)) {
                EXPECT_TRUE(e == nullptr || e->dtype == DType::kI8) << t.name;
                continue;
            }
            ASSERT_NE(e, nullptr) << t.name;
            EXPECT_EQ(*tensor_digest(**exported, *e, {}), *tensor_digest(**source, t, {})) << t.name;
        }
        const Json q = config_of(out)["quantization_config"];
        EXPECT_EQ(q["quant_method"], "compressed-tensors");
        EXPECT_EQ(q["format"], c.rounds_activations() ? "int-quantized" : "pack-quantized");
        EXPECT_EQ(q["ignore"], Json({"lm_head"}));
    }
}

TEST(Export, EachGroupSizeGetsItsConfigGroup) {
    const test::TempDir dir;
    // 160 = 5 * 32, hidden 64: down_proj has groups of 32, the rest 64.
    const auto source = ModelDirectory::open(test::TinyModel().write(dir, "m"));
    ASSERT_TRUE(source.ok());
    ASSERT_TRUE(export_compressed_tensors(**source, {}, quantized(**source, *find_candidate("gptq_g128_sym")), dir / "out", {}).ok());
    const Json groups = config_of(dir / "out")["quantization_config"]["config_groups"];
    ASSERT_EQ(groups.size(), 2u);
    std::map<std::string, int> sizes;
    for (const auto& [name, g] : groups.items()) sizes[g["targets"][0].get<std::string>()] = g["weights"]["group_size"].get<int>();
    EXPECT_EQ(sizes.count("Linear"), 0u);  // vLLM would take it for q, k and v fused, whatever their own targets say
    EXPECT_EQ(sizes["re:.*\\.mlp\\.down_proj$"], 32);
    sizes.clear();
    for (const auto& [name, g] : groups.items()) {
        for (const auto& t : g["targets"]) sizes[t.get<std::string>()] = g["weights"]["group_size"].get<int>();
    }
    EXPECT_EQ(sizes.size(), 7u);
    EXPECT_EQ(sizes["re:.*\\.self_attn\\.q_proj$"], 64);
}

// With zero points, transformers dequantizes at load, by the first config group for all modules: one size for all.
TEST(Export, ZeroPointsShareOneGroupSize) {
    const test::TempDir dir;
    const auto source = ModelDirectory::open(test::TinyModel().write(dir, "m"));
    const QuantizedModel m = quantized(**source, *find_candidate("rtn_g128"));
    ASSERT_TRUE(export_compressed_tensors(**source, {}, m, dir / "out", {}).ok());
    const Json groups = config_of(dir / "out")["quantization_config"]["config_groups"];
    ASSERT_EQ(groups.size(), 1u);
    EXPECT_EQ(groups["group_0"]["targets"], Json({"Linear"}));
    EXPECT_EQ(groups["group_0"]["weights"]["group_size"], 32);
    const auto back = import_quantized(**ModelDirectory::open(dir / "out"), {});
    ASSERT_TRUE(back.ok()) << back.error().text();
    for (const auto& [name, w] : m.weights.linears) EXPECT_EQ(back->linears.at(name).dequantize(), w.dequantize()) << name;
    const auto notes = compressed_tensors_notes(m);
    EXPECT_TRUE(std::any_of(notes.begin(), notes.end(), [](const std::string& n) { return n.find("groups of 32") != n.npos; }));
}

TEST(Export, Group256IsWrittenAs128WithTheSameValues) {
    const test::TempDir dir;
    test::TinyModel tiny;
    tiny.hidden = 256;
    tiny.intermediate = 512;
    const auto source = ModelDirectory::open(tiny.write(dir, "m"));
    ASSERT_TRUE(source.ok());
    Candidate c = *find_candidate("awq_g256");
    const QuantizedModel m = quantized(**source, c);
    ASSERT_EQ(m.weights.linears.begin()->second.group, 256u);
    EXPECT_EQ(compressed_tensors_notes(m).size(), 2u);  // of 128, and zero points
    EXPECT_TRUE(compressed_tensors_notes(quantized(**source, *find_candidate("int8"))).empty());
    ASSERT_TRUE(export_compressed_tensors(**source, {}, m, dir / "out", {}).ok());
    const Json group = config_of(dir / "out")["quantization_config"]["config_groups"]["group_0"];
    EXPECT_EQ(group["weights"]["group_size"], 128);
    const auto back = import_quantized(**ModelDirectory::open(dir / "out"), {});
    ASSERT_TRUE(back.ok()) << back.error().text();
    for (const auto& [name, w] : m.weights.linears) {
        EXPECT_EQ(back->linears.at(name).group, 128u);
        EXPECT_EQ(back->linears.at(name).dequantize(), w.dequantize()) << name;
    }
}

TEST(Export, FoldedNormsReplaceTheSources) {
    const test::TempDir dir;
    const auto source = ModelDirectory::open(test::TinyModel().write(dir, "m"));
    ASSERT_TRUE(source.ok());
    QuantizedModel m = quantized(**source, *find_candidate("rtn_g128"));
    m.weights.vectors["model.layers.1.input_layernorm.weight"] = std::vector<float>(64, 0.5f);
    ASSERT_TRUE(export_compressed_tensors(**source, {}, m, dir / "out", {}).ok());
    const auto out = ModelDirectory::open(dir / "out");
    EXPECT_EQ(*(*out)->read_float(*(*out)->find("model.layers.1.input_layernorm.weight")), std::vector<float>(64, 0.5f));
    EXPECT_NE(*(*out)->read_float(*(*out)->find("model.layers.0.input_layernorm.weight")), std::vector<float>(64, 0.5f));
}

TEST(Export, Fp32BecomesBf16AndFp16StaysFp16) {
    const test::TempDir dir;
    for (const auto& [dtype, want, word_] : {std::tuple{DType::kF32, DType::kBF16, "bfloat16"}, {DType::kF16, DType::kF16, "float16"}}) {
        test::TinyModel tiny;
        tiny.dtype = dtype;
        const std::string name(dtype_name(dtype));
        const auto source = ModelDirectory::open(tiny.write(dir, name));
        ASSERT_TRUE(source.ok());
        ASSERT_TRUE(export_compressed_tensors(**source, {}, quantized(**source, *find_candidate("gptq_g128")), dir / (name + "-out"), {}).ok());
        const auto out = ModelDirectory::open(dir / (name + "-out"));
        ASSERT_TRUE(out.ok());
        EXPECT_EQ((*out)->find("model.norm.weight")->dtype, want);
        EXPECT_EQ((*out)->find("model.layers.0.mlp.up_proj.weight_scale")->dtype, want);
        EXPECT_EQ(config_of(dir / (name + "-out"))["torch_dtype"], word_);
    }
}

TEST(Export, RefusesWhatItCannotDo) {
    const test::TempDir dir;
    const auto source = ModelDirectory::open(test::TinyModel().write(dir, "m"));
    QuantizedModel dense;
    dense.candidate = *find_candidate("fp16");
    EXPECT_EQ(export_compressed_tensors(**source, {}, dense, dir / "a", {}).error().code, ErrorCode::kUnsupported);
    const QuantizedModel m = quantized(**source, *find_candidate("int8"));
    dir.write("full/file", "x");
    EXPECT_EQ(export_compressed_tensors(**source, {}, m, dir / "full", {}).error().code, ErrorCode::kInvalidArgument);
    EXPECT_FALSE(export_compressed_tensors(**source, {"../evil"}, m, dir / "b", {}).ok());
    EXPECT_FALSE(std::filesystem::exists(dir / "b"));
    std::stop_source stop;
    stop.request_stop();
    JobContext ctx;
    ctx.stop = stop.get_token();
    EXPECT_EQ(export_compressed_tensors(**source, {}, m, dir / "c", ctx).error().code, ErrorCode::kCancelled);
    EXPECT_FALSE(std::filesystem::exists(dir / "c"));
}

TEST(Import, NamesTheSchemeItDoesNotKnow) {
    const test::TempDir dir;
    const auto refuse = [&](const std::string& name, const Json& quantization, const std::string& word_, ErrorCode code) {
        const auto path = test::TinyModel().write(dir, name);
        Json config = config_of(path);
        config["quantization_config"] = quantization;
        dir.write(name + "/config.json", config.dump());
        const auto source = ModelDirectory::open(path);
        ASSERT_TRUE(source.ok());
        const auto r = import_quantized(**source, {});
        ASSERT_FALSE(r.ok()) << name;
        EXPECT_EQ(r.error().code, code) << name << ": " << r.error().text();
        EXPECT_NE(r.error().text().find(word_), std::string::npos) << r.error().text();
    };
    const Json weights = {{"num_bits", 4}, {"type", "int"}, {"symmetric", true}, {"strategy", "group"}, {"group_size", 64}};
    const Json good = {{"quant_method", "compressed-tensors"}, {"format", "pack-quantized"}, {"config_groups", {{"group_0", {{"weights", weights}, {"targets", {"Linear"}}}}}}};
    refuse("awq", {{"quant_method", "awq"}, {"bits", 4}}, "no weight", ErrorCode::kMalformed);
    refuse("gemv", {{"quant_method", "awq"}, {"bits", 4}, {"version", "gemv"}}, "gemv", ErrorCode::kUnsupported);
    refuse("awq3", {{"quant_method", "awq"}, {"bits", 3}}, "3 bits", ErrorCode::kUnsupported);
    refuse("exl", {{"quant_method", "exl3"}}, "\"exl3\"", ErrorCode::kUnsupported);
    refuse("gptq5", {{"quant_method", "gptq"}, {"bits", 5}, {"group_size", 128}}, "5 bits", ErrorCode::kUnsupported);
    refuse("gptq0", {{"quant_method", "gptq"}, {"bits", 4}, {"group_size", 0}}, "group size", ErrorCode::kMalformed);
    refuse("marlin", {{"quant_method", "gptq"}, {"bits", 4}, {"group_size", 128}, {"checkpoint_format", "marlin"}}, "marlin", ErrorCode::kUnsupported);
    refuse("dynamic", {{"quant_method", "gptq"}, {"bits", 4}, {"group_size", 128}, {"dynamic", {{"+:.*down.*", {{"bits", 8}}}}}}, "dynamic", ErrorCode::kUnsupported);
    refuse("block", {{"quant_method", "fp8"}, {"activation_scheme", "dynamic"}, {"weight_block_size", {128, 128}}}, "block", ErrorCode::kUnsupported);
    refuse("static", {{"quant_method", "fp8"}, {"activation_scheme", "static"}}, "static", ErrorCode::kUnsupported);
    refuse("bnb", {{"quant_method", "bitsandbytes"}, {"load_in_4bit", true}}, "no weight", ErrorCode::kMalformed);
    refuse("threshold", {{"quant_method", "bitsandbytes"}, {"load_in_8bit", true}, {"llm_int8_threshold", -1}}, "threshold", ErrorCode::kMalformed);
    refuse("none", Json::object(), "quant_method", ErrorCode::kMalformed);
    refuse("text", "x", "object", ErrorCode::kMalformed);
    Json j = good;
    j["format"] = "marlin-24";
    refuse("format", j, "marlin-24", ErrorCode::kUnsupported);
    j = good;
    j["config_groups"]["group_0"]["weights"]["type"] = "float";
    refuse("float", j, "float", ErrorCode::kUnsupported);
    j = good;
    j["config_groups"]["group_0"]["weights"]["num_bits"] = 3;
    refuse("bits", j, "3-bit", ErrorCode::kUnsupported);
    j = good;
    j["config_groups"]["group_0"]["weights"]["actorder"] = "group";
    refuse("order", j, "no weight", ErrorCode::kMalformed);
    j = good;
    j["config_groups"]["group_0"]["input_activations"] = {{"num_bits", 8}};
    refuse("activations", j, "activations", ErrorCode::kUnsupported);
    j = good;
    j["format"] = "float-quantized";
    j["config_groups"]["group_0"]["weights"] = {{"num_bits", 8}, {"type", "float"}, {"strategy", "tensor"}};
    j["config_groups"]["group_0"]["input_activations"] = {{"num_bits", 8}, {"type", "float"}, {"strategy", "tensor"}, {"dynamic", false}};
    refuse("static8", j, "dynamic", ErrorCode::kUnsupported);
    j = good;
    j["config_groups"] = Json::object();
    refuse("groups", j, "config_groups", ErrorCode::kMalformed);
    refuse("dense", good, "no weight", ErrorCode::kMalformed);
}

TEST(Import, AModelThatIsNotQuantizedHasNoOverrides) {
    const test::TempDir dir;
    const auto r = import_quantized(**ModelDirectory::open(test::TinyModel().write(dir, "m")), {});
    ASSERT_TRUE(r.ok());
    EXPECT_TRUE(r->linears.empty());
    EXPECT_TRUE(r->vectors.empty());
}

TEST(Import, RefusesTensorsThatDoNotFit) {
    // A packed linear whose companions are wrong, each in one way.
    const test::TempDir dir;
    const Json weights = {{"num_bits", 4}, {"type", "int"}, {"symmetric", false}, {"strategy", "group"}, {"group_size", 32}};
    const Json config = {{"quantization_config", {{"quant_method", "compressed-tensors"}, {"format", "pack-quantized"},
                          {"config_groups", {{"group_0", {{"weights", weights}, {"targets", {"Linear"}}}}}}}}};
    struct Variant { const char* name; std::vector<std::uint64_t> packed, scale, zero; std::int64_t n, k; };
    const std::vector<Variant> variants = {
        {"good", {8, 8}, {8, 2}, {1, 2}, 8, 64},   {"shape", {8, 8}, {8, 2}, {1, 2}, 8, -64}, {"huge", {8, 8}, {8, 2}, {1, 2}, 8, 1LL << 40},
        {"rows", {8, 8}, {8, 2}, {1, 2}, 9, 64},   {"words", {8, 7}, {8, 2}, {1, 2}, 8, 64},  {"scales", {8, 8}, {8, 3}, {1, 3}, 8, 64},
        {"none", {8, 8}, {8, 0}, {1, 0}, 8, 64},   {"zeros", {8, 8}, {8, 2}, {2, 2}, 8, 64},  {"groups", {8, 8}, {8, 2}, {1, 1}, 8, 64}};
    for (const Variant& v : variants) {
        std::vector<Bytes> data;
        std::vector<TensorToWrite> tensors;
        const auto add = [&](const char* suffix, DType t, const std::vector<std::uint64_t>& shape) {
            std::uint64_t count = 1;
            for (const auto d : shape) count *= d;
            data.emplace_back(count * dtype_bits(t) / 8, std::byte{0});
            tensors.push_back({std::string("a.up_proj.") + suffix, t, shape, {}});
        };
        add("weight_packed", DType::kI32, v.packed);
        add("weight_scale", DType::kBF16, v.scale);
        add("weight_zero_point", DType::kI32, v.zero);
        add("weight_shape", DType::kI64, {2});
        const std::int64_t shape[] = {v.n, v.k};
        std::memcpy(data.back().data(), shape, 16);
        for (std::size_t i = 0; i < tensors.size(); ++i) tensors[i].data = data[i];
        dir.write(std::string(v.name) + "/config.json", config.dump());
        ASSERT_TRUE(write_safetensors(dir / v.name / "model.safetensors", tensors).ok());
        const auto source = ModelDirectory::open(dir / v.name);
        ASSERT_TRUE(source.ok()) << source.error().text();
        const auto r = import_quantized(**source, {});
        EXPECT_EQ(r.ok(), std::string(v.name) == "good") << v.name;
    }
}

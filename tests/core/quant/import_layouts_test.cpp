// SPDX-License-Identifier: Apache-2.0
// Checkpoints of other programs: forms that the exporters never write, and tensors that do not fit, each wrong in one way.
#include <gtest/gtest.h>

#include <cstring>

#include "core/base/json.h"
#include "core/base/nf4.h"
#include "core/quant/export_layout.h"
#include "tests/support/temp_dir.h"

using namespace tenpak;
using namespace tenpak::quant;
using compute::LinearWeight;
using compute::WeightFormat;

namespace {

struct Tensor {
    std::string name;
    DType dtype;
    std::vector<std::uint64_t> shape;
    Bytes data;  ///< empty: zeros
};

template <class T>
Bytes bytes_of(const std::vector<T>& v) {
    const auto b = std::as_bytes(std::span(v));
    return {b.begin(), b.end()};
}
Bytes text_bytes(const std::string& s) {
    const auto b = as_bytes(s);
    return {b.begin(), b.end()};
}

class Checkpoint : public testing::Test {
   protected:
    test::TempDir dir;
    int count = 0;
    Result<compute::WeightOverrides> read(const Json& quantization, std::vector<Tensor> tensors) {
        const std::string name = "c" + std::to_string(count++);
        std::vector<TensorToWrite> write;
        for (Tensor& t : tensors) {
            std::uint64_t size = dtype_bits(t.dtype) / 8;
            for (const auto d : t.shape) size *= d;
            t.data.resize(size);
            write.push_back({t.name, t.dtype, t.shape, t.data});
        }
        dir.write(name + "/config.json", Json({{"quantization_config", quantization}}).dump());
        EXPECT_TRUE(write_safetensors(dir / name / "model.safetensors", write).ok());
        const auto source = ModelDirectory::open(dir / name);
        EXPECT_TRUE(source.ok());
        return import_quantized(**source, {});
    }
    /// Each tensor in turn is left out, of another type, one shorter in each dimension, one longer: never accepted, never a crash.
    void spoil(const Json& quantization, const std::vector<Tensor>& good, const std::string& optional) {
        ASSERT_TRUE(read(quantization, good).ok());
        for (std::size_t i = 0; i < good.size(); ++i) {
            if (good[i].name.ends_with(optional)) continue;
            auto bad = good;
            bad.erase(bad.begin() + static_cast<std::ptrdiff_t>(i));
            EXPECT_FALSE(read(quantization, bad).ok()) << "without " << good[i].name;
            bad = good;
            bad[i].dtype = DType::kI16;
            EXPECT_FALSE(read(quantization, bad).ok()) << "another type of " << good[i].name;
            for (std::size_t d = 0; d < good[i].shape.size(); ++d) {
                for (const int change : {-1, 1}) {
                    bad = good;
                    bad[i].shape[d] += static_cast<std::uint64_t>(change);
                    EXPECT_FALSE(read(quantization, bad).ok()) << good[i].name << " of another size";
                }
            }
        }
    }
};

const Json kAwq = {{"quant_method", "awq"}, {"bits", 4}, {"group_size", 32}, {"version", "gemm"}, {"zero_point", true}};
const Json kGptq = {{"quant_method", "gptq"}, {"bits", 4}, {"group_size", 32}, {"desc_act", false}, {"sym", true}};

}  // namespace

TEST_F(Checkpoint, AwqThatDoesNotFit) {
    spoil(kAwq, {{"a.q.qweight", DType::kI32, {64, 2}, {}}, {"a.q.qzeros", DType::kI32, {2, 2}, {}}, {"a.q.scales", DType::kF16, {2, 16}, {}}}, "none");
}
TEST_F(Checkpoint, GptqThatDoesNotFit) {
    spoil(kGptq, {{"a.q.qweight", DType::kI32, {8, 16}, {}}, {"a.q.qzeros", DType::kI32, {2, 2}, {}}, {"a.q.scales", DType::kF16, {2, 16}, {}}}, "none");
    std::vector<std::int32_t> index(64);
    for (int i = 0; i < 64; ++i) index[static_cast<std::size_t>(i)] = i % 2;
    const std::vector<Tensor> ordered = {{"a.q.qweight", DType::kI32, {8, 16}, {}}, {"a.q.qzeros", DType::kI32, {2, 2}, {}}, {"a.q.scales", DType::kF16, {2, 16}, {}},
                                         {"a.q.g_idx", DType::kI32, {64}, bytes_of(index)}};
    const auto good = read(kGptq, ordered);
    ASSERT_TRUE(good.ok()) << good.error().text();
    EXPECT_EQ(good->linears.at("a.q.weight").group_index[3], 1u);
    for (const std::int32_t wrong : {-1, 2, 0}) {  // beyond the groups, or one group with more members
        index[1] = wrong;
        auto bad = ordered;
        bad[3].data = bytes_of(index);
        EXPECT_FALSE(read(kGptq, bad).ok()) << wrong;
    }
}

// AutoGPTQ's zero biases are none, and its settings may lie in a file of their own.
TEST_F(Checkpoint, GptqOfOldPrograms) {
    const std::vector<Tensor> tensors = {{"a.q.qweight", DType::kI32, {8, 16}, {}}, {"a.q.qzeros", DType::kI32, {2, 2}, {}}, {"a.q.scales", DType::kF16, {2, 16}, {}}, {"a.q.bias", DType::kF16, {16}, {}}};
    const auto r = read(kGptq, tensors);
    ASSERT_TRUE(r.ok()) << r.error().text();
    EXPECT_TRUE(r->linears.at("a.q.weight").bias.empty());
    auto biased = tensors;
    biased[3].data = bytes_of(std::vector<std::uint16_t>(16, 0x3c00));
    EXPECT_EQ(read(kGptq, biased)->linears.at("a.q.weight").bias, std::vector<float>(16, 1.0f));
    Json old = kGptq;
    old.erase("quant_method");
    dir.write("c" + std::to_string(count) + "/quantize_config.json", old.dump());
    const auto settings = read({}, tensors);
    ASSERT_TRUE(settings.ok()) << settings.error().text();
    EXPECT_EQ(settings->linears.size(), 1u);
}

// Two- and three-bit codes fill words without holes: value i lies at bit b * i of its column.
TEST_F(Checkpoint, GptqOfTwoAndThreeBits) {
    for (const unsigned bits : {2u, 3u}) {
        constexpr std::size_t kK = 64, kN = 32;
        const auto code = [&](std::size_t k, std::size_t n) { return static_cast<std::uint32_t>(k * 5 + n * 3) % (1u << bits); };
        const auto zero = [&](std::size_t g, std::size_t n) { return static_cast<std::uint32_t>(1 + (g + n) % ((1u << bits) - 1)); };
        std::vector<std::uint32_t> words(kK * bits / 32 * kN), zeros(2 * kN * bits / 32);
        const auto put = [&](std::uint32_t* column, std::size_t stride, std::size_t i, std::uint32_t v) {
            for (unsigned b = 0; b < bits; ++b) {
                const std::size_t bit = i * bits + b;
                column[bit / 32 * stride] |= (v >> b & 1u) << bit % 32;
            }
        };
        for (std::size_t n = 0; n < kN; ++n) {
            for (std::size_t k = 0; k < kK; ++k) put(words.data() + n, kN, k, code(k, n));
            for (std::size_t g = 0; g < 2; ++g) put(zeros.data() + g * kN * bits / 32, 1, n, zero(g, n) - 1);
        }
        Json q = kGptq;
        q["bits"] = bits;
        const auto r = read(q, {{"a.q.qweight", DType::kI32, {kK * bits / 32, kN}, bytes_of(words)}, {"a.q.qzeros", DType::kI32, {2, kN * bits / 32}, bytes_of(zeros)},
                                {"a.q.scales", DType::kF16, {2, kN}, bytes_of(std::vector<std::uint16_t>(2 * kN, 0x3c00))}});
        ASSERT_TRUE(r.ok()) << r.error().text();
        const auto values = r->linears.at("a.q.weight").dequantize();
        for (std::size_t n = 0; n < kN; ++n) {
            for (std::size_t k = 0; k < kK; ++k) ASSERT_EQ(values[n * kK + k], static_cast<float>(code(k, n)) - static_cast<float>(zero(k / 32, n))) << bits << " bits";
        }
    }
}

TEST_F(Checkpoint, NumbersThatAreNotFinite) {
    const auto r = read(kAwq, {{"a.q.qweight", DType::kI32, {64, 2}, {}}, {"a.q.qzeros", DType::kI32, {2, 2}, {}},
                               {"a.q.scales", DType::kF16, {2, 16}, bytes_of(std::vector<std::uint16_t>(32, 0x7c00))}});
    ASSERT_FALSE(r.ok());
    EXPECT_EQ(r.error().code, ErrorCode::kNumeric);
}

TEST_F(Checkpoint, Fp8OfTheTensorOrTheRow) {
    const Json q = {{"quant_method", "fp8"}, {"activation_scheme", "dynamic"}};
    const Bytes codes(8 * 4, std::byte{0x38});  // 1.0
    for (const auto& shape : std::vector<std::vector<std::uint64_t>>{{}, {1}, {8}, {8, 1}}) {
        const std::uint64_t rows = shape.empty() ? 1 : shape[0];
        std::vector<float> scales;
        for (std::uint64_t i = 0; i < rows; ++i) scales.push_back(0.5f + static_cast<float>(i));
        const auto r = read(q, {{"a.q.weight", DType::kF8E4M3, {8, 4}, codes}, {"a.q.weight_scale", DType::kF32, shape, bytes_of(scales)}, {"a.norm.weight", DType::kBF16, {4}, {}}});
        ASSERT_TRUE(r.ok()) << r.error().text();
        const LinearWeight& w = r->linears.at("a.q.weight");
        EXPECT_EQ(w.format, WeightFormat::kFp8Channel);
        EXPECT_EQ(w.dequantize()[7 * 4], rows == 1 ? 0.5f : 7.5f);
    }
    EXPECT_FALSE(read(q, {{"a.q.weight", DType::kF8E4M3, {8, 4}, codes}, {"a.q.weight_scale", DType::kF32, {7}, {}}}).ok());
    EXPECT_FALSE(read(q, {{"a.q.weight", DType::kF8E4M3, {8, 4}, Bytes(32, std::byte{0x7f})}, {"a.q.weight_scale", DType::kF32, {8}, {}}}).ok());
    EXPECT_FALSE(read(q, {{"a.q.weight", DType::kF8E4M3, {8, 4}, codes}}).ok());
}

TEST_F(Checkpoint, BitsandbytesThatDoesNotFit) {
    const Json q = {{"quant_method", "bitsandbytes"}, {"load_in_4bit", true}};
    const auto checkpoint = [](const std::string& state) {
        return std::vector<Tensor>{{"a.q.weight", DType::kU8, {4 * 64 / 2, 1}, {}}, {"a.q.weight.absmax", DType::kF32, {4}, bytes_of(std::vector<float>(4, 1.0f))},
                                   {"a.q.weight.quant_map", DType::kF32, {16}, bytes_of(std::vector<float>(kNf4Levels.begin(), kNf4Levels.end()))},
                                   {"a.q.weight.quant_state.bitsandbytes__nf4", DType::kU8, {state.size()}, text_bytes(state)}};
    };
    const std::string good = R"({"quant_type":"nf4","blocksize":64,"dtype":"bfloat16","shape":[4,64]})";
    ASSERT_TRUE(read(q, checkpoint(good)).ok());
    for (const char* bad : {"", "[]", R"({"blocksize":64})", R"({"blocksize":63,"shape":[4,64]})", R"({"blocksize":0,"shape":[4,64]})", R"({"blocksize":64,"shape":[4]})",
                            R"({"blocksize":64,"shape":[-4,64]})", R"({"blocksize":64,"shape":[4,128]})", R"({"blocksize":64,"shape":[4294967296,4294967296]})",
                            R"({"blocksize":128,"shape":[4,64]})", R"({"blocksize":32,"shape":[4,64]})"}) {
        EXPECT_FALSE(read(q, checkpoint(bad)).ok()) << bad;
    }
    auto bad = checkpoint(good);
    bad[2].data[0] = std::byte{1};
    bad[2].data[3] = std::byte{0};
    EXPECT_FALSE(read(q, bad).ok()) << "other levels";
    bad = checkpoint(good);
    bad.push_back({"a.q.weight.quant_state.bitsandbytes__fp4", DType::kU8, {2}, {}});
    EXPECT_FALSE(read(q, bad).ok()) << "FP4";
    // Another nested map than ours: the scales are what the file says, kept in fp32.
    const std::string nested = R"({"quant_type":"nf4","blocksize":64,"dtype":"bfloat16","shape":[4,64],"nested_blocksize":256,"nested_dtype":"float32","nested_offset":0.25})";
    bad = checkpoint(nested);
    bad[1] = {"a.q.weight.absmax", DType::kU8, {4}, {}};
    bad.push_back({"a.q.weight.nested_absmax", DType::kF32, {1}, bytes_of(std::vector<float>{2.0f})});
    bad.push_back({"a.q.weight.nested_quant_map", DType::kF32, {256}, bytes_of(std::vector<float>(256, 0.5f))});
    const auto r = read(q, bad);
    ASSERT_TRUE(r.ok()) << r.error().text();
    EXPECT_EQ(r->linears.at("a.q.weight").scales[0], 1.25f);
    EXPECT_TRUE(r->linears.at("a.q.weight").scale_codes.empty());
    bad[4].shape = {2};
    EXPECT_FALSE(read(q, bad).ok());
}

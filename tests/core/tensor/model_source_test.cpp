// SPDX-License-Identifier: Apache-2.0
#include <cmath>
#include <cstring>

#include "core/tensor/model_source.h"
#include "tests/support/temp_dir.h"

namespace tenpak {
namespace {

template <class T>
std::string packed(std::initializer_list<T> v) {
    return {reinterpret_cast<const char*>(v.begin()), v.size() * sizeof(T)};
}

TEST(ModelSource, ReadsEveryFloatType) {
    test::TempDir dir;
    const std::string bf = packed<std::uint16_t>({0x3f80, 0xc000, 0x7f80}), fp = packed<std::uint16_t>({0x3c00, 0xc000, 0x0001}),
                      f32 = packed<float>({1.0f, -2.0f, 1e-40f}), f64 = packed<double>({1.0, -2.0, 1e300}), i = packed<std::int32_t>({1});
    ASSERT_TRUE(write_safetensors(dir / "m.safetensors", {{"bf", DType::kBF16, {3}, as_bytes(bf)},
                                                          {"fp", DType::kF16, {3}, as_bytes(fp)},
                                                          {"f32", DType::kF32, {3}, as_bytes(f32)},
                                                          {"f64", DType::kF64, {3}, as_bytes(f64)},
                                                          {"int", DType::kI32, {1}, as_bytes(i)}}).ok());
    const auto m = *ModelDirectory::open(dir / "m.safetensors");
    const auto read = [&](const char* name) { return *m->read_float(*m->find(name)); };
    EXPECT_EQ(read("bf"), (std::vector<float>{1, -2, INFINITY}));
    EXPECT_EQ(read("fp"), (std::vector<float>{1, -2, 0x1p-24f}));
    EXPECT_EQ(read("f32"), (std::vector<float>{1, -2, 1e-40f}));
    EXPECT_EQ(read("f64"), (std::vector<float>{1, -2, INFINITY}));
    const auto r = m->read_float(*m->find("int"));
    ASSERT_FALSE(r.ok());
    EXPECT_EQ(r.error().code, ErrorCode::kUnsupported);
    EXPECT_EQ(m->parameters(), 13u);
    EXPECT_EQ(m->weight_bytes(), 6u + 6 + 12 + 24 + 4);
    EXPECT_EQ(m->find("nothing"), nullptr);
}

TEST(ModelSource, TensorLargerThanOneReadBlock) {
    test::TempDir dir;
    std::vector<float> v(3'000'001);
    for (std::size_t i = 0; i < v.size(); ++i) v[i] = static_cast<float>(i);
    const auto bytes = std::as_bytes(std::span(v));
    ASSERT_TRUE(write_safetensors(dir / "m.safetensors", {{"t", DType::kF32, {v.size()}, bytes}}).ok());
    const auto m = *ModelDirectory::open(dir / "m.safetensors");
    EXPECT_EQ(*m->read_float(m->tensors()[0]), v);
    const auto d = tensor_digest(*m, m->tensors()[0], {});
    ASSERT_TRUE(d.ok());
    EXPECT_EQ(*d, sha256(bytes));
    std::stop_source stop;
    stop.request_stop();
    JobContext ctx;
    ctx.stop = stop.get_token();
    EXPECT_EQ(tensor_digest(*m, m->tensors()[0], ctx).error().code, ErrorCode::kCancelled);
}

TEST(ModelSource, ReadsStayInsideTheTensor) {
    test::TempDir dir;
    const std::string d(8, 'd');
    ASSERT_TRUE(write_safetensors(dir / "m.safetensors", {{"a", DType::kU8, {8}, as_bytes(d)}, {"b", DType::kU8, {8}, as_bytes(d)}}).ok());
    const auto m = *ModelDirectory::open(dir / "m.safetensors");
    Bytes out(8);
    const TensorInfo& a = *m->find("a");
    EXPECT_TRUE(m->read(a, 0, out).ok());
    EXPECT_TRUE(m->read(a, 8, std::span(out).first(0)).ok());
    EXPECT_EQ(m->read(a, 1, out).error().code, ErrorCode::kInvalidArgument);
    EXPECT_EQ(m->read(a, ~std::uint64_t{0}, out).error().code, ErrorCode::kInvalidArgument);
    fs::resize_file(dir / "m.safetensors", 40);  // shrinks while open
    EXPECT_EQ(m->read(*m->find("b"), 0, out).error().code, ErrorCode::kMalformed);
}

}  // namespace
}  // namespace tenpak

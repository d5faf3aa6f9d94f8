// SPDX-License-Identifier: Apache-2.0
#include <random>

#include "core/tensor/model_source.h"
#include "tests/support/temp_dir.h"

namespace tenpak {
namespace {

TEST(SafetensorsWrite, LayoutIsTheReferences) {
    test::TempDir dir;
    const std::string f32(8, 'f'), u8(3, 'u'), bf(4, 'b');
    ASSERT_TRUE(write_safetensors(dir / "m.safetensors", {{"z", DType::kU8, {3}, as_bytes(u8)},
                                                          {"b", DType::kBF16, {2}, as_bytes(bf)},
                                                          {"q\"uote", DType::kF32, {2, 1}, as_bytes(f32)},
                                                          {"a", DType::kBF16, {1, 2}, as_bytes(bf)}}).ok());
    const auto text = read_text_file(dir / "m.safetensors");
    ASSERT_TRUE(text.ok());
    std::string header =
        "{\"__metadata__\":{\"format\":\"pt\"},\"q\\\"uote\":{\"dtype\":\"F32\",\"shape\":[2,1],\"data_offsets\":[0,8]},"
        "\"a\":{\"dtype\":\"BF16\",\"shape\":[1,2],\"data_offsets\":[8,12]},\"b\":{\"dtype\":\"BF16\",\"shape\":[2],\"data_offsets\":[12,16]},"
        "\"z\":{\"dtype\":\"U8\",\"shape\":[3],\"data_offsets\":[16,19]}}";
    header.append((8 - header.size() % 8) % 8, ' ');
    EXPECT_EQ(text->substr(8, header.size()), header);
    EXPECT_EQ(text->substr(8 + header.size()), f32 + bf + bf + u8);
    EXPECT_EQ((*text)[0], static_cast<char>(header.size() & 255));
}

TEST(SafetensorsWrite, RandomRoundTripsAndAlignment) {
    test::TempDir dir;
    std::mt19937 rng(7);
    for (int round = 0; round < 60; ++round) {
        std::vector<std::string> data(rng() % 12);
        std::vector<TensorToWrite> tensors;
        std::map<std::string, std::size_t> by_name;
        for (std::size_t i = 0; i < data.size(); ++i) {
            TensorToWrite t;
            t.dtype = static_cast<DType>(rng() % 22);
            t.name = "layer." + std::to_string(rng() % 1000) + "." + std::to_string(i);
            const unsigned rank = rng() % 4;
            std::uint64_t n = 8;  // a factor of 8 keeps sub-byte types whole
            t.shape.push_back(8);
            for (unsigned r = 0; r < rank; ++r) {
                t.shape.push_back(rng() % 4);
                n *= t.shape.back();
            }
            data[i].resize(n * dtype_bits(t.dtype) / 8);
            for (char& c : data[i]) c = static_cast<char>(rng());
            t.data = as_bytes(data[i]);
            by_name[t.name] = i;
            tensors.push_back(std::move(t));
        }
        const auto path = dir / ("r" + std::to_string(round) + ".safetensors");
        ASSERT_TRUE(write_safetensors(path, tensors, {{"round", std::to_string(round)}, {"é", "ü\n\"\\"}}).ok());
        const auto m = ModelDirectory::open(path);
        ASSERT_TRUE(m.ok()) << m.error().text();
        EXPECT_EQ((*m)->weight_header(0).header_bytes % 8, 0u);
        EXPECT_EQ((*m)->weight_header(0).metadata.at("é"), "ü\n\"\\");
        ASSERT_EQ((*m)->tensors().size(), tensors.size());
        for (const TensorInfo& t : (*m)->tensors()) {
            const auto& w = tensors[by_name.at(t.name)];
            EXPECT_EQ(t.shape, w.shape);
            EXPECT_EQ(t.dtype, w.dtype);
            const unsigned alignment = std::max(1u, dtype_bits(t.dtype) / 8);
            EXPECT_EQ(t.offset % alignment, 0u) << t.name;
            Bytes back(t.bytes);
            ASSERT_TRUE((*m)->read(t, 0, back).ok());
            EXPECT_TRUE(std::ranges::equal(back, w.data));
        }
    }
}

TEST(SafetensorsWrite, RefusesWhatItCannotHoldAndLeavesTheOldFile) {
    test::TempDir dir;
    const auto path = dir.write("m.safetensors", "old");
    const std::string d(8, 'd');
    const auto refused = [&](std::vector<TensorToWrite> t) {
        const Status s = write_safetensors(path, std::move(t));
        return !s.ok() && s.error().code == ErrorCode::kInvalidArgument;
    };
    EXPECT_TRUE(refused({{"a", DType::kF32, {3}, as_bytes(d)}}));
    EXPECT_TRUE(refused({{"a", DType::kF32, {2}, as_bytes(d)}, {"a", DType::kU8, {8}, as_bytes(d)}}));
    EXPECT_TRUE(refused({{"a", DType::kF4, {3}, as_bytes(d)}}));
    EXPECT_TRUE(refused({{"a", DType::kF32, {1ull << 62, 16}, as_bytes(d)}}));
    EXPECT_TRUE(refused({{"\xff", DType::kF32, {2}, as_bytes(d)}}));
    EXPECT_TRUE(refused({{"__metadata__", DType::kF32, {2}, as_bytes(d)}}));
    EXPECT_EQ(*read_text_file(path), "old");
    EXPECT_EQ(std::distance(fs::directory_iterator(dir.path()), fs::directory_iterator()), 1);
}

// Nine tensors as safetensors 0.8.0 (the reference package) writes them: the SHA-256 of its file, byte for byte.
TEST(SafetensorsWrite, ReproducesAFileOfTheReferenceWriter) {
    test::TempDir dir;
    const auto raw = [](auto... v) {
        std::string s;
        (s.append(reinterpret_cast<const char*>(&v), sizeof v), ...);
        return s;
    };
    using U8 = std::uint8_t;
    using U16 = std::uint16_t;
    const std::string z = raw(U8{0}, U8{1}, U8{2}), half = raw(U16{0}, U16{0x3c00}, U16{0x4000}, U16{0x4200}),
                      b = raw(0.f, 1.f, 2.f, 3.f, 4.f, 5.f), a = raw(0.f, 1.f), l = raw(std::int64_t{7}), d = raw(1.5), flag = raw(true, false),
                      iq = raw(0, 1, 2);
    ASSERT_TRUE(write_safetensors(dir / "m.safetensors",
                                  {{"z", DType::kU8, {3}, as_bytes(z)},
                                   {"half", DType::kF16, {2, 2}, as_bytes(half)},
                                   {"b.weight", DType::kF32, {2, 3}, as_bytes(b)},
                                   {"a.weight", DType::kF32, {2}, as_bytes(a)},
                                   {"long", DType::kI64, {1}, as_bytes(l)},
                                   {"d", DType::kF64, {}, as_bytes(d)},
                                   {"flag", DType::kBool, {2}, as_bytes(flag)},
                                   {"i\"q", DType::kI32, {3}, as_bytes(iq)},
                                   {"ü", DType::kI8, {2, 0}, {}}}).ok());
    const auto file = read_file(dir / "m.safetensors");
    ASSERT_TRUE(file.ok());
    EXPECT_EQ(to_hex(sha256(*file)), "e7051e8b47eb82e83933f4c0d42e04eb17feff63de7dba289e54ae79967f1731");
}

// Real models, read and written again, hold the same tensors (their own writer orders them otherwise).
TEST(SafetensorsWrite, RealModelsRoundTrip) {
    const auto root = test::shared_data() / "models" / "stories260K";
    if (!fs::exists(root)) GTEST_SKIP() << "SKIPPED: no shared data at " << root;
    test::TempDir dir;
    for (const char* name : {"hf-base", "hf-base-bf16"}) {
        const auto m = ModelDirectory::open(root / name);
        ASSERT_TRUE(m.ok()) << m.error().text();
        std::vector<Bytes> data;
        std::vector<TensorToWrite> tensors;
        for (const TensorInfo& t : (*m)->tensors()) {
            data.emplace_back(t.bytes);
            ASSERT_TRUE((*m)->read(t, 0, data.back()).ok());
            tensors.push_back({t.name, t.dtype, t.shape, data.back()});
        }
        ASSERT_TRUE(write_safetensors(dir / "out.safetensors", tensors, (*m)->weight_header(0).metadata).ok());
        const auto back = ModelDirectory::open(dir / "out.safetensors");
        ASSERT_TRUE(back.ok()) << back.error().text();
        ASSERT_EQ((*back)->tensors().size(), tensors.size());
        for (const TensorInfo& t : (*m)->tensors()) {
            const TensorInfo* w = (*back)->find(t.name);
            ASSERT_NE(w, nullptr) << t.name;
            EXPECT_EQ(w->shape, t.shape);
            EXPECT_EQ(*tensor_digest(**back, *w, {}), *tensor_digest(**m, t, {})) << t.name;
        }
    }
}

}  // namespace
}  // namespace tenpak

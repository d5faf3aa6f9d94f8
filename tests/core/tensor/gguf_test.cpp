// SPDX-License-Identifier: Apache-2.0
#include "core/tensor/gguf.h"

#include <gtest/gtest.h>

#include <cstring>

#include "tests/support/gguf_builder.h"
#include "tests/support/temp_dir.h"

using namespace tenpak;
using test::GgufBytes;

namespace {

Result<GgufHeader> parse(const GgufBytes& b) { return parse_gguf_header(as_bytes(b.out), "x.gguf"); }

void expect_error(const GgufBytes& b, ErrorCode code, const std::string& part) {
    const auto h = parse(b);
    ASSERT_FALSE(h.ok()) << part;
    EXPECT_EQ(h.error().code, code) << h.error().text();
    EXPECT_NE(h.error().text().find(part), std::string::npos) << h.error().text();
    EXPECT_NE(h.error().text().find("x.gguf"), std::string::npos);
}

std::vector<std::byte> bytes_of(std::initializer_list<float> v) {
    std::vector<std::byte> out(v.size() * 4);
    std::memcpy(out.data(), std::data(v), out.size());
    return out;
}

GgufTensorToWrite tensor(const std::string& name, std::vector<std::uint64_t> shape, std::vector<std::byte> data) {
    return {name, GgmlType::kF32, std::move(shape), [data](const auto& put) -> Status {
        // In two pieces, as large tensors come.
        TENPAK_RETURN_IF_ERROR(put(std::span(data).first(data.size() / 2)));
        return put(std::span(data).subspan(data.size() / 2));
    }};
}

}  // namespace

TEST(Gguf, WritesWhatItReads) {
    const test::TempDir dir;
    const GgufMetadata values = {
        {"general.architecture", GgufValue::text("llama")},
        {"a.u32", GgufValue::u32(4000000000u)},
        {"a.f32", GgufValue::f32(1.5f)},
        {"a.bool", GgufValue::boolean(true)},
        {"a.texts", GgufValue::texts({"", "x", "\xc4\xa0 y"})},
        {"a.i32s", GgufValue::i32s({-1, 2, 3})},
        {"a.f32s", GgufValue::f32s({0.25, -1})},
        {"a.u64", {GgufType::kU64, false, {1ll << 40}, {}, {}}},
        {"a.i16", {GgufType::kI16, false, {-7}, {}, {}}},
        {"a.f64", {GgufType::kF64, false, {}, {0.1}, {}}},
        {"a.none", GgufValue::texts({})},
    };
    ASSERT_TRUE(write_gguf(dir / "x.gguf", values, {tensor("one", {3}, bytes_of({1, 2, 3})), tensor("two", {2, 2}, bytes_of({4, 5, 6, 7}))}, {}).ok());
    const auto file = File::open(dir / "x.gguf");
    ASSERT_TRUE(file.ok());
    EXPECT_TRUE(looks_like_gguf(dir / "x.gguf"));
    const auto h = read_gguf_header(*file);
    ASSERT_TRUE(h.ok()) << h.error().text();
    EXPECT_EQ(h->version, 3u);
    ASSERT_EQ(h->metadata.size(), values.size());
    for (std::size_t i = 0; i < values.size(); ++i) {
        EXPECT_EQ(h->metadata[i].first, values[i].first);
        EXPECT_EQ(h->metadata[i].second.type, values[i].second.type) << values[i].first;
        EXPECT_EQ(h->metadata[i].second.array, values[i].second.array);
        EXPECT_EQ(h->metadata[i].second.integers, values[i].second.integers);
        EXPECT_EQ(h->metadata[i].second.floats, values[i].second.floats);
        EXPECT_EQ(h->metadata[i].second.strings, values[i].second.strings);
    }
    const GgufTensor* two = h->find_tensor("two");
    ASSERT_NE(two, nullptr);
    EXPECT_EQ(two->shape, (std::vector<std::uint64_t>{2, 2}));
    EXPECT_EQ(two->offset % 32, 0u);
    float v[4];
    ASSERT_TRUE(file->read_at(two->offset, std::as_writable_bytes(std::span(v))).ok());
    EXPECT_EQ(v[3], 7);
    EXPECT_EQ(*h->integer("a.u32", 0, ""), 4000000000u);
    EXPECT_EQ(*h->number("a.f32", 0, ""), 1.5);
    EXPECT_EQ(*h->number("absent", 2.5, ""), 2.5);
    EXPECT_EQ(h->text("a.u32", "", "w").error().code, ErrorCode::kMalformed);
    EXPECT_EQ(h->integer("a.i16", 0, "w").error().code, ErrorCode::kMalformed);
}

TEST(Gguf, RefusesToWriteNonsense) {
    const test::TempDir dir;
    const auto write = [&](const GgufMetadata& m, const std::vector<GgufTensorToWrite>& t) {
        const Status s = write_gguf(dir / "y.gguf", m, t, {});
        EXPECT_FALSE(std::filesystem::exists(dir / "y.gguf"));
        return s.ok() ? ErrorCode::kInternal : s.error().code;
    };
    EXPECT_EQ(write({{"a", GgufValue::u32(1)}, {"a", GgufValue::u32(2)}}, {}), ErrorCode::kInvalidArgument);
    EXPECT_EQ(write({}, {tensor("t", {2}, bytes_of({1, 2})), tensor("t", {2}, bytes_of({1, 2}))}), ErrorCode::kInvalidArgument);
    EXPECT_EQ(write({}, {tensor("t", {3}, bytes_of({1, 2}))}), ErrorCode::kInvalidArgument);
    auto odd = tensor("t", {33}, {});
    odd.type = GgmlType::kQ8_0;
    EXPECT_EQ(write({}, {odd}), ErrorCode::kInvalidArgument);
    JobContext stopped;
    std::stop_source stop;
    stopped.stop = stop.get_token();
    stop.request_stop();
    EXPECT_EQ(write_gguf(dir / "y.gguf", {}, {tensor("t", {1}, bytes_of({1}))}, stopped).error().code, ErrorCode::kCancelled);
    EXPECT_FALSE(std::filesystem::exists(dir / "y.gguf"));
}

TEST(Gguf, ReadsVersionTwoAndOtherAlignments) {
    GgufBytes b(2, 1, 1);
    b.key("general.alignment", GgufType::kU32).put(std::uint32_t{64});
    b.tensor("t", {4, 2}, GgmlType::kF16, 0);
    b.pad(64).fill(16);
    const auto h = parse(b);
    ASSERT_TRUE(h.ok()) << h.error().text();
    EXPECT_EQ(h->alignment, 64u);
    EXPECT_EQ(h->tensors[0].offset % 64, 0u);
    EXPECT_EQ(h->tensors[0].shape, (std::vector<std::uint64_t>{2, 4}));  // the file says the innermost first
    EXPECT_EQ(h->tensors[0].bytes, 16u);
}

TEST(Gguf, RefusesHostileFilesWithOneClearError) {
    EXPECT_EQ(parse_gguf_header({}, "x.gguf").error().code, ErrorCode::kMalformed);
    GgufBytes wrong(3, 0, 0);
    wrong.out[0] = 'X';
    expect_error(wrong, ErrorCode::kMalformed, "not a GGUF file");
    expect_error(GgufBytes(1, 0, 0), ErrorCode::kUnsupported, "version 1");
    expect_error(GgufBytes(0x03000000, 0, 0), ErrorCode::kUnsupported, "big-endian");
    // Counts that no file of this size can have: refused before anything is allocated.
    expect_error(GgufBytes(3, std::uint64_t{1} << 60, 0), ErrorCode::kMalformed, "tensors do not fit");
    expect_error(GgufBytes(3, 0, std::uint64_t{1} << 60), ErrorCode::kMalformed, "values do not fit");
    {
        GgufBytes b(3, 0, 1);
        b.put(std::uint64_t{1} << 40).fill(40);
        expect_error(b, ErrorCode::kMalformed, "behind the file's end");
    }
    {
        GgufBytes b(3, 0, 1);
        b.key("k", GgufType::kArray).put(std::uint32_t{4}).put(std::uint64_t{1} << 50);
        expect_error(b, ErrorCode::kMalformed, "goes on behind the file's end");
    }
    {
        GgufBytes b(3, 0, 1);
        b.key("k", GgufType::kArray).put(std::uint32_t{9}).put(std::uint64_t{0}).fill(16);
        expect_error(b, ErrorCode::kUnsupported, "a list of lists");
    }
    {
        GgufBytes b(3, 0, 1);
        b.text("k").put(std::uint32_t{99}).fill(16);
        expect_error(b, ErrorCode::kMalformed, "type 99");
    }
    {
        GgufBytes b(3, 0, 1);
        b.key("k", GgufType::kBool).put(std::uint8_t{2}).fill(16);
        expect_error(b, ErrorCode::kMalformed, "truth value");
    }
    {
        GgufBytes b(3, 0, 2);
        b.key("k", GgufType::kU8).put(std::uint8_t{2}).key("k", GgufType::kU8).put(std::uint8_t{2});
        expect_error(b, ErrorCode::kMalformed, "there twice");
    }
    for (const std::uint32_t alignment : {0u, 3u, 1u << 30}) {
        GgufBytes b(3, 0, 1);
        b.key("general.alignment", GgufType::kU32).put(alignment).fill(64);
        expect_error(b, ErrorCode::kMalformed, "alignment");
    }
}

TEST(Gguf, RefusesTensorsThatCannotBe) {
    const auto one = [](std::vector<std::uint64_t> dims, GgmlType type, std::uint64_t offset, std::size_t data) {
        GgufBytes b(3, 1, 0);
        b.tensor("t", std::move(dims), type, offset);
        b.pad(32).fill(data);
        return b;
    };
    expect_error(one({8}, GgmlType::kF32, 0, 16), ErrorCode::kMalformed, "behind the file's end");
    expect_error(one({8}, GgmlType::kF32, 32, 48), ErrorCode::kMalformed, "behind the file's end");
    expect_error(one({8}, GgmlType::kF32, 8, 64), ErrorCode::kMalformed, "not aligned");
    expect_error(one({8}, GgmlType::kF32, ~std::uint64_t{0} - 31, 64), ErrorCode::kMalformed, "behind the file's end");
    expect_error(one({33, 2}, GgmlType::kQ8_0, 0, 100), ErrorCode::kMalformed, "not a multiple of the 32");
    expect_error(one({0, 2}, GgmlType::kF32, 0, 100), ErrorCode::kMalformed, "impossible shape");
    expect_error(one({std::uint64_t{1} << 40, std::uint64_t{1} << 40}, GgmlType::kF32, 0, 100), ErrorCode::kMalformed, "impossible shape");
    expect_error(one({1, 1, 1, 1, 1}, GgmlType::kF32, 0, 100), ErrorCode::kMalformed, "5 dimensions");
    expect_error(one({4}, static_cast<GgmlType>(77), 0, 100), ErrorCode::kUnsupported, "number format 77");
    {
        GgufBytes b(3, 2, 0);
        b.tensor("t", {16}, GgmlType::kF32, 0).tensor("u", {16}, GgmlType::kF32, 32);
        b.pad(32).fill(128);
        expect_error(b, ErrorCode::kMalformed, "overlaps");
    }
    {
        GgufBytes b(3, 2, 0);
        b.tensor("t", {8}, GgmlType::kF32, 0).tensor("t", {8}, GgmlType::kF32, 32);
        b.pad(32).fill(128);
        expect_error(b, ErrorCode::kMalformed, "there twice");
    }
}

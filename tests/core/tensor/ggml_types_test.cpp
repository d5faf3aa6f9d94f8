// SPDX-License-Identifier: Apache-2.0
#include "core/tensor/ggml_types.h"

#include <gtest/gtest.h>

#include <bit>
#include <vector>

#include "core/base/file.h"
#include "core/base/json.h"
#include "tests/support/temp_dir.h"

using namespace tenpak;

namespace {

std::vector<std::byte> from_hex(const std::string& s) {
    std::vector<std::byte> out;
    for (std::size_t i = 0; i + 1 < s.size(); i += 2) out.push_back(static_cast<std::byte>(std::stoi(s.substr(i, 2), nullptr, 16)));
    return out;
}

Json fixture() {
    const auto text = read_text_file(test::source_dir() / "tests/fixtures/gguf/blocks.json");
    EXPECT_TRUE(text.ok());
    return *parse_json(*text, "blocks.json");
}

GgmlType type_named(const std::string& name) {
    for (std::uint32_t t = 0; t < 64; ++t) {
        const GgmlTypeInfo* info = ggml_type_info(t);
        if (info != nullptr && name == info->name) return static_cast<GgmlType>(t);
    }
    ADD_FAILURE() << name;
    return GgmlType::kF32;
}

}  // namespace

TEST(GgmlTypes, BlocksOfRandomBitsAreWhatTheGgufPackageMakesOfThem) {
    const Json all = fixture();
    EXPECT_EQ(all.size(), 14u);
    for (const auto& [name, entry] : all.items()) {
        const GgmlTypeInfo& info = ggml_type_info(type_named(name));
        EXPECT_TRUE(info.readable) << name;
        const auto raw = from_hex(entry.at("blocks").get<std::string>());
        const auto want = entry.at("bits").get<std::vector<std::uint32_t>>();
        ASSERT_EQ(raw.size() / info.bytes * info.weights, want.size()) << name;
        std::vector<float> got(want.size());
        dequantize_blocks(type_named(name), raw.data(), raw.size() / info.bytes, got.data());
        for (std::size_t i = 0; i < want.size(); ++i) ASSERT_EQ(std::bit_cast<std::uint32_t>(got[i]), want[i]) << name << " " << i;
    }
}

TEST(GgmlTypes, Q6KTakenApartIsTheSame) {
    const auto raw = from_hex(fixture().at("Q6_K").at("blocks").get<std::string>());
    std::vector<float> want(512), scales(32);
    std::vector<std::int8_t> codes(512);
    dequantize_blocks(GgmlType::kQ6_K, raw.data(), 2, want.data());
    unpack_q6_k(raw.data(), 2, codes.data(), scales.data());
    for (std::size_t i = 0; i < 512; ++i) ASSERT_EQ(scales[i / 16] * static_cast<float>(codes[i]), want[i]) << i;
}

TEST(GgmlTypes, UnknownNumbersAreNone) {
    for (const std::uint32_t t : {4u, 5u, 31u, 36u, 99u, 0xffffffffu}) EXPECT_EQ(ggml_type_info(t), nullptr) << t;
    EXPECT_FALSE(ggml_type_info(GgmlType::kIq2Xxs).readable);
}

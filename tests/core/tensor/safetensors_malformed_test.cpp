// SPDX-License-Identifier: Apache-2.0
// The reference parser's rejected inputs (reference tests of safetensors 0.8), double keys and unknown fields.
#include <chrono>

#include "core/tensor/safetensors.h"
#include "tests/support/safetensors_builder.h"

namespace tenpak {
namespace {

using test::safetensors_bytes;

Result<SafetensorsHeader> parse(const std::string& file) {
    return parse_safetensors_header(as_bytes(file), file.size(), "x.safetensors");
}
std::string entry(const std::string& name, const std::string& dtype, const std::string& shape, const std::string& offsets) {
    return "\"" + name + "\":{\"dtype\":\"" + dtype + "\",\"shape\":" + shape + ",\"data_offsets\":" + offsets + "}";
}

struct Bad {
    const char* label;
    std::string file;
    const char* says;  ///< part of the message
};

std::vector<Bad> corpus() {
    const std::string ok = "{" + entry("a", "F32", "[2]", "[0,8]") + "}";
    const std::string data(8, 'd');
    const auto one = [&](const std::string& inner, std::size_t bytes = 8) { return safetensors_bytes("{" + inner + "}", std::string(bytes, 'd')); };
    return {
        {"empty file", "", "too small"},
        {"seven bytes", std::string(7, '\0'), "too small"},
        {"only a length", std::string("\x3c\0\0\0\0\0\0\0", 8), "longer than the file"},
        {"length of all ones", std::string(8, '\xff'), "100,000,000"},
        {"length just over the cap", safetensors_bytes(ok, data, 100'000'001), "100,000,000"},
        {"length beyond the file", safetensors_bytes(ok, data, 1000), "longer than the file"},
        {"abuse_attempt_1", safetensors_bytes("{}", "", 1000), "longer than the file"},
        {"length zero", safetensors_bytes("", "", 0), "not valid JSON"},
        {"not UTF-8", safetensors_bytes("\xff", "", 1), "UTF-8"},
        {"overlong UTF-8", safetensors_bytes("{\"\xc0\xaf\":1}", ""), "UTF-8"},
        {"surrogate in UTF-8", safetensors_bytes("{\"\xed\xa0\x80\":1}", ""), "UTF-8"},
        {"open brace", safetensors_bytes("{", ""), "not valid JSON"},
        {"array on top", safetensors_bytes("[]", ""), "array"},
        {"string on top", safetensors_bytes("\"a\"", ""), "string"},
        {"null on top", safetensors_bytes("null", ""), "null"},
        {"two documents", safetensors_bytes("{}{}", ""), "not valid JSON"},
        {"comma at the end", safetensors_bytes("{" + entry("a", "F32", "[2]", "[0,8]") + ",}", data), "not valid JSON"},
        {"NUL behind the document", safetensors_bytes(ok + std::string(3, '\0'), data), "NUL"},
        {"NUL and a second document", safetensors_bytes(ok + std::string(1, '\0') + "{}", data), "NUL"},
        {"byte order mark", safetensors_bytes("\xef\xbb\xbf" + ok, data), "byte order mark"},
        {"bad escape", safetensors_bytes("{\"\\x\":1}", ""), "not valid JSON"},
        {"lone surrogate escape", safetensors_bytes("{\"\\ud800\":1}", ""), "not valid JSON"},
        {"single quotes", safetensors_bytes("{'a':1}", ""), "not valid JSON"},
        {"comment", safetensors_bytes("{/* */}", ""), "not valid JSON"},
        {"entry is a number", safetensors_bytes("{\"a\":1}", ""), "a number"},
        {"entry is an array", safetensors_bytes("{\"a\":[]}", ""), "an array"},
        {"entry is null", safetensors_bytes("{\"a\":null}", ""), "null"},
        {"empty entry", safetensors_bytes("{\"a\":{}}", ""), "is missing"},
        {"no dtype", one("\"a\":{\"shape\":[2],\"data_offsets\":[0,8]}"), "is missing"},
        {"no shape", one("\"a\":{\"dtype\":\"F32\",\"data_offsets\":[0,8]}"), "is missing"},
        {"no offsets", one("\"a\":{\"dtype\":\"F32\",\"shape\":[2]}"), "is missing"},
        {"unknown dtype", one(entry("a", "F33", "[2]", "[0,8]")), "unknown dtype"},
        {"lower-case dtype", one(entry("a", "f32", "[2]", "[0,8]")), "unknown dtype"},
        {"dtype is a number", one("\"a\":{\"dtype\":7,\"shape\":[2],\"data_offsets\":[0,8]}"), "a number"},
        {"dtype is an array", one("\"a\":{\"dtype\":[\"F32\"],\"shape\":[2],\"data_offsets\":[0,8]}"), "an array"},
        {"dtype is an object", one("\"a\":{\"dtype\":{},\"shape\":[2],\"data_offsets\":[0,8]}"), "an object"},
        {"shape is a number", one(entry("a", "F32", "2", "[0,8]")), "a number"},
        {"negative size", one(entry("a", "F32", "[-2]", "[0,8]")), "negative"},
        {"fractional size", one(entry("a", "F32", "[2.0]", "[0,8]")), "whole number"},
        {"size with an exponent", one(entry("a", "F32", "[2e0]", "[0,8]")), "whole number"},
        {"size over 64 bits", one(entry("a", "F32", "[99999999999999999999]", "[0,8]")), "whole number"},
        {"size is a string", one(entry("a", "F32", "[\"2\"]", "[0,8]")), "a string"},
        {"nested shape", one(entry("a", "F32", "[[2]]", "[0,8]")), "an array"},
        {"one offset", one(entry("a", "F32", "[2]", "[8]")), "two numbers"},
        {"no offset", one(entry("a", "F32", "[2]", "[]")), "two numbers"},
        {"three offsets", one(entry("a", "F32", "[2]", "[0,8,8]")), "two numbers"},
        {"offsets over 2^48", one(entry("a", "F32", "[2]", "[0,281474976710656]")), "2^48"},
        {"negative offset", one(entry("a", "F32", "[2]", "[-8,0]")), "negative"},
        {"hole at the front", one(entry("a", "F32", "[2]", "[8,16]"), 16), "hole"},
        {"hole between", one(entry("a", "F32", "[2]", "[0,8]") + "," + entry("b", "F32", "[2]", "[12,20]"), 20), "hole"},
        {"overlap", one(entry("a", "F32", "[2]", "[0,8]") + "," + entry("b", "F32", "[2]", "[4,12]"), 12), "hole"},
        {"same bytes twice", one(entry("a", "F32", "[2]", "[0,8]") + "," + entry("b", "F32", "[2]", "[0,8]")), "hole"},
        {"end before begin", one(entry("a", "F32", "[0]", "[0,0]") + "," + entry("b", "F32", "[2]", "[0,8]") + "," + entry("c", "F32", "[2]", "[8,0]")), "hole"},
        {"shape too big for the bytes", one(entry("a", "F32", "[3]", "[0,8]")), "need 12 bytes"},
        {"shape too small for the bytes", one(entry("a", "F32", "[1]", "[0,8]")), "need 4 bytes"},
        {"scalar of the wrong size", one(entry("a", "F32", "[]", "[0,8]")), "need 4 bytes"},
        {"product overflows", one(entry("a", "F32", "[4294967296,4294967296,4]", "[0,8]")), "overflows"},
        {"product times dtype overflows", one(entry("a", "F64", "[4611686018427387904]", "[0,8]")), "overflows"},
        {"FP4 with an odd count", one(entry("a", "F4", "[3]", "[0,2]"), 2), "whole bytes"},
        {"FP4 of the wrong size", one(entry("a", "F4", "[4]", "[0,1]"), 1), "need 2 bytes"},
        {"FP6 that ends inside a byte", one(entry("a", "F6_E2M3", "[3]", "[0,3]"), 3), "whole bytes"},
        {"two bytes missing", one(entry("a", "F32", "[2]", "[0,8]"), 6), "declares"},
        {"trailing data", one(entry("a", "F32", "[2]", "[0,8]")) + "extra_bogus_data_for_polyglot_file", "declares"},
        {"data without tensors", safetensors_bytes("{}", "x"), "declares"},
        {"tensor twice", one(entry("a", "F32", "[2]", "[0,8]") + "," + entry("a", "F32", "[2]", "[8,16]"), 16), "given twice"},
        {"tensor twice, one escaped", one(entry("a", "F32", "[2]", "[0,8]") + "," + entry("\\u0061", "F32", "[2]", "[8,16]"), 16), "given twice"},
        {"empty tensor twice", one(entry("a", "F32", "[0]", "[0,0]") + "," + entry("a", "F32", "[0]", "[0,0]"), 0), "given twice"},
        {"field twice", one("\"a\":{\"dtype\":\"F32\",\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]}"), "given twice"},
        {"unknown field", one("\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8],\"strides\":[1]}"), "unknown field"},
        {"metadata twice", one("\"__metadata__\":{},\"__metadata__\":{}", 0), "given twice"},
        {"metadata key twice", one("\"__metadata__\":{\"k\":\"1\",\"k\":\"2\"}", 0), "given twice"},
        {"metadata with a number", one("\"__metadata__\":{\"k\":1}", 0), "a number"},
        {"metadata with an object", one("\"__metadata__\":{\"k\":{}}", 0), "an object"},
        {"metadata with an array", one("\"__metadata__\":{\"k\":[]}", 0), "an array"},
        {"metadata is a string", one("\"__metadata__\":\"k\"", 0), "a string"},
        {"metadata is an array", one("\"__metadata__\":[]", 0), "an array"},
        {"deep nesting", safetensors_bytes(std::string(100'000, '['), ""), "an array"},
        {"deep objects", safetensors_bytes([] { std::string s; for (int i = 0; i < 50'000; ++i) s += "{\"a\":"; return s; }(), ""), "unknown field"},
    };
}

TEST(SafetensorsMalformed, EveryCaseIsRefusedForItsReason) {
    for (const Bad& b : corpus()) {
        const auto r = parse(b.file);
        ASSERT_FALSE(r.ok()) << b.label;
        EXPECT_EQ(r.error().code, ErrorCode::kMalformed) << b.label;
        EXPECT_NE(r.error().what.find(b.says), std::string::npos) << b.label << ": " << r.error().text();
        EXPECT_NE(r.error().where.find("x.safetensors"), std::string::npos) << b.label;
        EXPECT_EQ(r.error().text().find('\n'), std::string::npos) << b.label;
    }
}

TEST(SafetensorsMalformed, EveryTruncationIsRefused) {
    const std::string file = test::small_safetensors({{"a", 3}, {"b", 5}});
    ASSERT_TRUE(parse(file).ok());
    for (std::size_t n = 0; n < file.size(); ++n) EXPECT_FALSE(parse(file.substr(0, n)).ok()) << n;
    EXPECT_FALSE(parse(file + std::string(1, '\0')).ok());
}

TEST(SafetensorsMalformed, AttackWithManySharedOffsetsFailsQuickly) {
    // abuse_attempt_3 of the reference: 100,000 tensors that all claim the same bytes.
    std::string header = "{";
    for (int i = 0; i < 100'000; ++i) header += (i > 0 ? "," : "") + entry("t" + std::to_string(i), "U8", "[100]", "[0,100]");
    header += "}";
    const std::string file = safetensors_bytes(header, std::string(100, 'd'));
    const auto start = std::chrono::steady_clock::now();
    const auto r = parse(file);
    const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
    ASSERT_FALSE(r.ok());
    EXPECT_NE(r.error().what.find("overlap"), std::string::npos);
    EXPECT_LT(seconds, 5.0);  // 0.1 s on an idle core; generous for a loaded machine under sanitizers
}

TEST(SafetensorsMalformed, HostileTensorNamesAreDataAndErrorsStayOnOneLine) {
    const auto r = parse(safetensors_bytes("{" + entry("../../etc/passwd\\n\\u001b[2J", "F32", "[3]", "[0,8]") + "}", std::string(8, 'd')));
    ASSERT_FALSE(r.ok());
    const std::string text = r.error().text();
    EXPECT_EQ(text.find('\n'), std::string::npos);
    EXPECT_EQ(text.find('\x1b'), std::string::npos);
    const auto ok = parse(safetensors_bytes("{" + entry("../\\u0000x", "F32", "[2]", "[0,8]") + "}", std::string(8, 'd')));
    ASSERT_TRUE(ok.ok());
    EXPECT_EQ(ok->tensors[0].name, std::string("../\0x", 5));
    const auto huge = parse(safetensors_bytes("{" + entry(std::string(1 << 20, 'n'), "F32", "[3]", "[0,8]") + "}", std::string(8, 'd')));
    ASSERT_FALSE(huge.ok());
    EXPECT_LT(huge.error().text().size(), 1000u);
}

TEST(SafetensorsAccepted, WhatTheReferenceTakesOnPurpose) {
    const auto scalar = parse(safetensors_bytes("{" + entry("a", "F32", "[]", "[0,4]") + "}", "data"));
    ASSERT_TRUE(scalar.ok());
    EXPECT_EQ(scalar->tensors[0].elements(), 1u);
    const auto zero = parse(safetensors_bytes("{" + entry("a", "F32", "[2,0]", "[0,0]") + "," + entry("b", "U8", "[3]", "[0,3]") + "}", "abc"));
    ASSERT_TRUE(zero.ok());
    EXPECT_EQ(zero->tensors[0].name, "a");
    EXPECT_EQ(zero->tensors[0].elements(), 0u);
    EXPECT_TRUE(parse(safetensors_bytes("{}", "")).ok());
    EXPECT_TRUE(parse(safetensors_bytes("{\"__metadata__\":{}}   \n\t ", "")).ok());
    EXPECT_TRUE(parse(safetensors_bytes("   {}", "")).ok());
    EXPECT_TRUE(parse(safetensors_bytes("{" + entry("", "BOOL", "[1]", "[0,1]") + "}", "x")).ok());
    const auto fp4 = parse(safetensors_bytes("{" + entry("a", "F4", "[2,3]", "[0,3]") + "}", "abc"));
    ASSERT_TRUE(fp4.ok());
    EXPECT_EQ(fp4->tensors[0].bytes, 3u);
    // Metadata keys may look like tensor fields; tensors are given in any order and come back in the file's.
    const auto r = parse(safetensors_bytes("{" + entry("b", "U8", "[2]", "[1,3]") + ",\"__metadata__\":{\"dtype\":\"x\",\"shape\":\"\"}," +
                                               entry("a", "U8", "[1]", "[0,1]") + "}", "abc"));
    ASSERT_TRUE(r.ok()) << r.error().text();
    EXPECT_EQ(r->tensors[0].name, "a");
    EXPECT_EQ(r->tensors[1].offset, r->header_bytes + 1);
    EXPECT_EQ(r->metadata.at("dtype"), "x");
}

}  // namespace
}  // namespace tenpak

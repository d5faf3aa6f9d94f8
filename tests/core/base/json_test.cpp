// SPDX-License-Identifier: Apache-2.0
#include "core/base/json.h"

#include <gtest/gtest.h>

using namespace tenpak;

TEST(Json, StrictlyParsed) {
    EXPECT_TRUE(parse_json(R"({"a":[1,2,{"b":null}]} )", "x").ok());
    for (const std::string& bad : {std::string(""), std::string("{"), std::string("{\"a\":1}{}"), std::string("{\"a\":1,\"a\":2}"), std::string("{\"x\":{\"a\":1,\"a\":1}}"), std::string("\"\xff\""), std::string("[1,]"), std::string(100, '['), std::string("nul"), std::string("{\"a\":01}")}) {
        const auto r = parse_json(bad, "file.json");
        ASSERT_FALSE(r.ok()) << bad;
        EXPECT_EQ(r.error().code, ErrorCode::kMalformed);
    }
    EXPECT_NE(parse_json("{\"a\":1,\"a\":2}", "f").error().what.find("twice"), std::string::npos);
    EXPECT_FALSE(parse_json("[[[]]]", "f", {100, 2}).ok());
    EXPECT_FALSE(parse_json("[1,2,3]", "f", {3, 9}).ok());
    EXPECT_TRUE(parse_json(R"([{"a":1},{"a":2}])", "f").ok());
    EXPECT_FALSE(parse_json(std::string("{}\0{}", 5), "f").ok());  // a lexer that stops at NUL would not see the rest
    EXPECT_FALSE(parse_json("\xef\xbb\xbf{}", "f").ok());
}
TEST(Json, CanonicalSortsKeys) {
    EXPECT_EQ(canonical_json(*parse_json(R"({ "b":1, "a":[ "ü" ] })", "f")), "{\"a\":[\"ü\"],\"b\":1}");
}
TEST(Json, TypedAccess) {
    const Json j = *parse_json(R"({"u":5,"n":-5,"f":1.5,"s":"x","b":true})", "f");
    EXPECT_EQ(*json_get<std::uint64_t>(j, "u", "f"), 5u);
    EXPECT_FALSE(json_get<std::uint64_t>(j, "n", "f").ok());
    EXPECT_EQ(*json_get<std::int64_t>(j, "n", "f"), -5);
    EXPECT_FALSE(json_get<std::uint64_t>(j, "f", "f").ok());
    EXPECT_FALSE(json_get<std::string>(j, "u", "f").ok());
    EXPECT_FALSE(json_get<std::string>(j, "none", "f").ok());
    EXPECT_TRUE(*json_get<bool>(j, "b", "f"));
}

// SPDX-License-Identifier: Apache-2.0
// Chat templates against transformers' own rendering (tests/oracle/make_chat_fixture.py), and hostile ones.
#include <gtest/gtest.h>

#include <cstdlib>
#include <ctime>

#include "core/base/file.h"
#include "core/model/chat_template.h"
#include "tests/support/temp_dir.h"

namespace {

using namespace tenpak;
using namespace tenpak::model;

Result<std::string> rendered(std::string_view source, const OrderedJson& variables = OrderedJson::object()) {
    TENPAK_ASSIGN(const auto t, ChatTemplate::parse(source, "t"));
    return t.render(variables);
}

TEST(ChatTemplates, EqualTransformers) {
    setenv("TZ", "UTC", 1);
    tzset();
    const char* other = std::getenv("TENPAK_CHAT_CASES");  // make_chat_fixture.py --check FOLDER --out FILE
    const auto text = read_text_file(other != nullptr ? std::filesystem::path(other) : tenpak::test::source_dir() / "tests/fixtures/chat/cases.json");
    ASSERT_TRUE(text.ok());
    const OrderedJson fixture = OrderedJson::parse(*text);
    std::size_t cases = 0;
    for (const auto& c : fixture["cases"]) {
        const auto name = c["name"].get<std::string>();
        const auto t = ChatTemplate::parse(fixture["templates"][name].get<std::string>(), name);
        ASSERT_TRUE(t.ok()) << name << ": " << t.error().text();
        ChatOptions options;
        options.now = fixture["now"].get<std::time_t>();
        options.add_generation_prompt = c["variables"]["add_generation_prompt"].get<bool>();
        const auto got = t->render(c["variables"], options);
        if (c["want"].is_null()) {
            EXPECT_FALSE(got.ok()) << name;
            if (!got.ok() && c["error"].get<std::string>().starts_with("TemplateError: ")) {
                EXPECT_EQ(got.error().code, ErrorCode::kInvalidArgument);
                EXPECT_NE(got.error().what.find(c["error"].get<std::string>().substr(15)), std::string::npos) << got.error().text();
            }
        } else if (!got.ok()) {
            ADD_FAILURE() << name << ": " << got.error().text();
        } else {
            EXPECT_EQ(*got, c["want"].get<std::string>()) << name;
        }
        ++cases;
    }
    EXPECT_GE(cases, 100u);
}

TEST(ChatTemplates, WhatIsNotKnownIsNamed) {
    const auto code = [](std::string_view source) {
        const auto r = rendered(source);
        return r.ok() ? ErrorCode::kInternal : r.error().code;
    };
    EXPECT_EQ(code("{% include 'x' %}"), ErrorCode::kUnsupported);
    EXPECT_EQ(code("{{ 1 | frobnicate }}"), ErrorCode::kUnsupported);
    EXPECT_EQ(code("{{ 1 is frobnicated }}"), ErrorCode::kUnsupported);
    EXPECT_EQ(code("{{ f(*a) }}"), ErrorCode::kUnsupported);
    EXPECT_EQ(code("{% if %}"), ErrorCode::kMalformed);
    EXPECT_EQ(code("{% if 1 %}"), ErrorCode::kMalformed);
    EXPECT_EQ(code("{{ 'abc }}"), ErrorCode::kMalformed);
    EXPECT_EQ(code("{{ (1 }}"), ErrorCode::kMalformed);
    EXPECT_EQ(code("{{ nothing.there }}"), ErrorCode::kMalformed);
    EXPECT_EQ(code("{{ nothing() }}"), ErrorCode::kMalformed);
    EXPECT_EQ(code("{{ 'a' + 1 }}"), ErrorCode::kMalformed);
    EXPECT_EQ(code("{{ 1 // 0 }}"), ErrorCode::kMalformed);
    EXPECT_EQ(code("\xff"), ErrorCode::kMalformed);
    EXPECT_EQ(code("{{ raise_exception('no') }}"), ErrorCode::kInvalidArgument);
}

TEST(ChatTemplates, HostileOnesAreBounded) {
    const auto refused = [](std::string_view source) {
        const auto r = rendered(source);
        EXPECT_FALSE(r.ok()) << source.substr(0, 60);
    };
    refused("{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}");
    refused("{% set ns = namespace(s='xxxxxxxx') %}{% for a in range(60) %}{% set ns.s = ns.s + ns.s %}{% endfor %}");
    refused("{% set ns = namespace(s=[1, 2]) %}{% for a in range(60) %}{% set ns.s = ns.s + ns.s %}{% endfor %}");
    refused("{{ 'abc' * 99999999999 }}");
    refused("{{ range(9999999999) }}");
    refused("{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}");
    refused("{{ 9999999999999999999999 }}");
    refused("{{ 9223372036854775807 + 1 }}");
    refused("{{ 10 ** 100 }}");
    refused("{{ " + std::string(100000, '(') + std::string(100000, ')') + " }}");
    refused("{{ " + std::string(100000, '-') + "1 }}");
    std::string nots, ifs;
    for (int i = 0; i < 5000; ++i) nots += "not ", ifs += "{% if 1 %}";
    refused("{{ " + nots + "1 }}");
    refused(ifs);
    std::string chain = "1";
    for (int i = 0; i < 5000; ++i) chain += " + 1";
    refused("{{ " + chain + " }}");
    refused(std::string(2u << 20, 'x'));
}

TEST(ChatTemplates, LoadsFromTheModelsFiles) {
    const auto source = ModelDirectory::open(tenpak::test::sample_dir() / "base");
    if (!source.ok()) GTEST_SKIP() << "the sample models are not there";
    EXPECT_EQ(ChatTemplate::load(**source).error().code, ErrorCode::kNotFound);
}

}  // namespace

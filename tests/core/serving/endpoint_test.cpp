// SPDX-License-Identifier: Apache-2.0
#include "core/serving/endpoint.h"

#include <gtest/gtest.h>

#include "tests/support/scripted_server.h"

namespace tenpak::serving {
namespace {

using test::Connection;
using test::ScriptedServer;
using test::ServedRequest;

TEST(Endpoint, AddressesThatPeopleGive) {
    const auto url = [](const char* s, bool chat = false) { return parse_endpoint(s, chat)->completions_url(); };
    EXPECT_EQ(url("http://h:8000"), "http://h:8000/v1/completions");
    EXPECT_EQ(url("http://h:8000/"), "http://h:8000/v1/completions");
    EXPECT_EQ(url("http://h:8000/v1"), "http://h:8000/v1/completions");
    EXPECT_EQ(url("http://h:8000/v1/"), "http://h:8000/v1/completions");
    EXPECT_EQ(url("http://h:8000/v1/completions"), "http://h:8000/v1/completions");
    EXPECT_EQ(url("http://h:8000/v1/chat/completions"), "http://h:8000/v1/chat/completions");
    EXPECT_EQ(url("http://h:8000", true), "http://h:8000/v1/chat/completions");
    EXPECT_EQ(url("https://h/openai/v1beta"), "https://h/openai/v1beta/completions");
    EXPECT_EQ(url("https://h/proxy"), "https://h/proxy/v1/completions");
    EXPECT_EQ(parse_endpoint("http://h/v1?key=1", false).error().code, ErrorCode::kInvalidArgument);
    EXPECT_EQ(parse_endpoint("h:8000", false).error().code, ErrorCode::kInvalidArgument);
}

Result<ServerInfo> ask(Endpoint& e, int status, const std::string& body) {
    const ScriptedServer server([&](const ServedRequest& r, Connection& c) {
        EXPECT_EQ(r.path, "/v1/models");
        return c.answer(status, body);
    });
    const std::string model = e.model;
    e = *parse_endpoint(server.url(), false);
    e.model = model;
    const auto client = hub::HttpClient::create();
    return discover(e, **client, {});
}

TEST(Endpoint, DiscoverTakesTheFirstModelOrFindsTheNamedOne) {
    const std::string two = R"({"object":"list","data":[{"id":"first","owned_by":"vllm","max_model_len":4096},{"id":"second","max_model_len":2048}]})";
    Endpoint e;
    auto info = ask(e, 200, two);
    ASSERT_TRUE(info.ok()) << info.error().text();
    EXPECT_EQ(e.model, "first");
    EXPECT_EQ(info->server, "scripted, vllm");
    EXPECT_EQ(info->max_model_len, 4096u);
    e.model = "second";
    info = ask(e, 200, two);
    ASSERT_TRUE(info.ok());
    EXPECT_EQ(info->max_model_len, 2048u);
    e.model = "adapter";  // servers know more names than they list
    ASSERT_TRUE(ask(e, 200, two).ok());
    EXPECT_EQ(e.model, "adapter");
}

TEST(Endpoint, DiscoverWithoutAList) {
    Endpoint e;
    EXPECT_TRUE(ask(e, 404, "{}").ok());
    EXPECT_TRUE(e.model.empty());
    for (const char* odd : {"{}", "[]", R"({"data":5})", R"({"data":[5,{"id":7}]})"}) EXPECT_TRUE(ask(e, 200, odd).ok()) << odd;
    EXPECT_TRUE(e.model.empty());
    EXPECT_EQ(ask(e, 200, "<html>").error().code, ErrorCode::kMalformed);
    EXPECT_EQ(ask(e, 401, "{}").error().code, ErrorCode::kPermission);
    EXPECT_EQ(ask(e, 503, "{}").error().code, ErrorCode::kIo);
}

}  // namespace
}  // namespace tenpak::serving

// SPDX-License-Identifier: Apache-2.0
#include "core/serving/completion_stream.h"

#include <gtest/gtest.h>

#include "core/base/json.h"
#include "core/serving/completion_request.h"

namespace tenpak::serving {
namespace {

using Clock = hub::HttpClock;

std::string event(const std::string& json) { return "data: " + json + "\n\n"; }

Result<StreamedCompletion> read(const std::string& stream, std::uint32_t max_tokens = 8, std::size_t piece = 1000) {
    CompletionStream c(max_tokens);
    for (std::size_t at = 0; at < stream.size(); at += piece) {
        TENPAK_RETURN_IF_ERROR(c.data(std::string_view(stream).substr(at, piece), Clock::time_point(std::chrono::seconds(at))));
    }
    return c.finish();
}

TEST(CompletionStream, VllmWithUsage) {
    const std::string s = event(R"({"id":"1","choices":[{"index":0,"text":"","finish_reason":null}],"usage":null})") + event(R"({"choices":[{"index":0,"text":"Hello"}]})") +
                          event(R"({"choices":[{"index":0,"text":" world, all"}]})") + event(R"({"choices":[{"index":0,"text":"","finish_reason":"length"}]})") +
                          event(R"({"choices":[],"usage":{"prompt_tokens":5,"completion_tokens":4,"total_tokens":9}})") + event("[DONE]");
    for (const std::size_t piece : {1, 7, 100000}) {
        const auto c = read(s, 8, piece);
        ASSERT_TRUE(c.ok()) << c.error().text();
        EXPECT_EQ(c->text, "Hello world, all");
        EXPECT_EQ(c->pieces.size(), 2u);
        EXPECT_EQ(c->finish_reason, "length");
        EXPECT_EQ(c->prompt_tokens, 5u);
        EXPECT_EQ(c->completion_tokens, 4u);
        EXPECT_TRUE(c->done);
    }
}

TEST(CompletionStream, PiecesCarryTheirArrival) {
    CompletionStream c(8);
    const auto at = [](int ms) { return Clock::time_point(std::chrono::milliseconds(ms)); };
    ASSERT_TRUE(c.data(event(R"({"choices":[{"text":"a"}]})"), at(10)).ok());
    ASSERT_TRUE(c.data("data: {\"choices\":[{\"te", at(20)).ok());
    ASSERT_TRUE(c.data("xt\":\"b\"}]}\n\n", at(35)).ok());  // complete only now
    ASSERT_TRUE(c.data(event(R"({"choices":[{"text":"","finish_reason":"stop"}]})"), at(50)).ok());
    const auto r = c.finish();
    ASSERT_TRUE(r.ok());
    EXPECT_EQ(r->pieces, (std::vector{at(10), at(35)}));
    EXPECT_FALSE(r->completion_tokens.has_value());
}

TEST(CompletionStream, ChatAndReasoning) {
    const auto c = read(event(R"({"choices":[{"delta":{"role":"assistant","content":""}}]})") + event(R"({"choices":[{"delta":{"reasoning_content":"hm "}}]})") +
                        event(R"({"choices":[{"delta":{"content":"Yes"}}]})") + event(R"({"choices":[{"delta":{},"finish_reason":"stop"}]})") + event("[DONE]"));
    ASSERT_TRUE(c.ok()) << c.error().text();
    EXPECT_EQ(c->text, "hm Yes");
    EXPECT_EQ(c->pieces.size(), 2u);  // the role alone is no text
    EXPECT_EQ(c->finish_reason, "stop");
}

TEST(CompletionStream, EndWithoutDoneButWithReasonIsAnEnd) {
    EXPECT_TRUE(read(event(R"({"choices":[{"text":"a","finish_reason":"length"}]})")).ok());
    const auto cut = read(event(R"({"choices":[{"text":"a"}]})"));
    ASSERT_FALSE(cut.ok());
    EXPECT_EQ(cut.error().code, ErrorCode::kIo);
}

TEST(CompletionStream, ErrorWithinTheStream) {
    const auto c = read(event(R"({"choices":[{"text":"a"}]})") + event(R"({"error":{"message":"CUDA out of memory","code":500}})"));
    ASSERT_FALSE(c.ok());
    EXPECT_EQ(c.error().code, ErrorCode::kIo);
    EXPECT_NE(c.error().what.find("CUDA out of memory"), std::string::npos);
    EXPECT_FALSE(read(event(R"({"error":"bad"})")).ok());
}

TEST(CompletionStream, OneDocumentIsNoStream) {
    const auto c = read(R"({"choices":[{"text":"Hello","finish_reason":"stop"}]})");
    ASSERT_FALSE(c.ok());
    EXPECT_EQ(c.error().code, ErrorCode::kUnsupported);
    EXPECT_EQ(read("<html>Hello</html>").error().code, ErrorCode::kMalformed);
    EXPECT_EQ(read("").error().code, ErrorCode::kMalformed);
}

TEST(CompletionStream, Malformed) {
    std::string deep;
    for (int i = 0; i < 100; ++i) deep += "[";
    for (const std::string& bad : {std::string("not json"), std::string("{\"choices\":"), std::string("[1]"), std::string("12"), std::string("{\"a\":1,\"a\":2}"), "{\"choices\":" + deep,
                                   std::string(R"({"usage":{"completion_tokens":-1},"choices":[]})"), std::string(R"({"usage":{"completion_tokens":"many"},"choices":[]})"),
                                   std::string(R"({"usage":{"completion_tokens":1e99},"choices":[]})"), std::string(R"({"usage":{"completion_tokens":10},"choices":[]})"),
                                   std::string("{\"choices\":[{\"text\":\"\xff\xfe\"}]}")}) {
        const auto c = read(event(bad) + event("[DONE]"));
        ASSERT_FALSE(c.ok()) << bad;
        EXPECT_EQ(c.error().code, ErrorCode::kMalformed) << bad;
        EXPECT_EQ(c.error().text().find('\n'), std::string::npos);
    }
    // Odd but harmless: no text in them.
    for (const std::string odd : {R"({"choices":[3]})", R"({"choices":"x"})", R"({"choices":[{"text":7}]})", R"({"choices":[{"delta":[1]}]})", R"({"usage":5})", "{}", R"({"error":null})"}) {
        const auto c = read(event(odd) + event("[DONE]"));
        ASSERT_TRUE(c.ok()) << odd << ": " << c.error().text();
        EXPECT_TRUE(c->pieces.empty());
    }
}

TEST(CompletionStream, EndlessStreamsEnd) {
    CompletionStream text(8), nothing(8), long_text(8);
    Status s;
    int events = 0;
    for (; events < 1000 && s.ok(); ++events) s = text.data(event(R"({"choices":[{"text":"a"}]})"), Clock::now());
    EXPECT_EQ(s.error().code, ErrorCode::kMalformed);
    EXPECT_LT(events, 30);
    s = {};
    for (events = 0; events < 1000 && s.ok(); ++events) s = nothing.data(event(R"({"choices":[{"text":""}]})"), Clock::now());
    EXPECT_EQ(s.error().code, ErrorCode::kMalformed);
    EXPECT_LT(events, 120);
    s = {};
    for (events = 0; events < 1000 && s.ok(); ++events) s = long_text.data(event("{\"choices\":[{\"text\":\"" + std::string(50000, 'a') + "\"}]}"), Clock::now());
    EXPECT_EQ(s.error().code, ErrorCode::kMalformed);
}

TEST(CompletionRequest, Bodies) {
    Endpoint e = *parse_endpoint("http://h:1", false);
    e.model = "m";
    const Prompt p{"hi \"you\"", {5, 6}};
    const Json ids = Json::parse(stream_body(e, p, 7, {}));
    EXPECT_EQ(ids, Json::parse(R"({"model":"m","prompt":[5,6],"max_tokens":7,"temperature":0,"stream":true,"stream_options":{"include_usage":true},"ignore_eos":true})"));
    const Json text = Json::parse(stream_body(e, p, 7, {false, false, false}));
    EXPECT_EQ(text, Json::parse(R"({"model":"m","prompt":"hi \"you\"","max_tokens":7,"temperature":0,"stream":true})"));
    e.api = Api::kChat;
    EXPECT_EQ(Json::parse(stream_body(e, p, 7, {}))["messages"], Json::parse(R"([{"role":"user","content":"hi \"you\""}])"));
    e.api = Api::kCompletions;
    EXPECT_EQ(Json::parse(logprobs_body(e, p, LogprobsBy::kPromptLogprobs)), Json::parse(R"({"model":"m","prompt":[5,6],"max_tokens":1,"temperature":0,"prompt_logprobs":1})"));
    EXPECT_EQ(Json::parse(logprobs_body(e, p, LogprobsBy::kEchoText)), Json::parse(R"({"model":"m","prompt":"hi \"you\"","max_tokens":1,"temperature":0,"echo":true,"logprobs":1})"));
}

}  // namespace
}  // namespace tenpak::serving

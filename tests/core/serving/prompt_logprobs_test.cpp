// SPDX-License-Identifier: Apache-2.0
#include "core/serving/prompt_logprobs.h"

#include <gtest/gtest.h>

#include <cmath>

namespace tenpak::serving {
namespace {

const Prompt kPrompt{"The cat sat", {10, 20, 30}};

Result<PromptLogprobs> read(const std::string& body, LogprobsBy by) { return read_prompt_logprobs(body, kPrompt, by, "test"); }

TEST(PromptLogprobs, VllmByTokenId) {
    const auto r = read(R"({"choices":[{"text":" on","prompt_logprobs":[null,{"20":{"logprob":-1.5,"rank":2,"decoded_token":" cat"},"7":{"logprob":-0.5,"rank":1}},{"30":{"logprob":-0.25}}]}],
                           "usage":{"prompt_tokens":3,"completion_tokens":1}})",
                        LogprobsBy::kPromptLogprobs);
    ASSERT_TRUE(r.ok()) << r.error().text();
    ASSERT_EQ(r->logprobs.size(), 3u);
    EXPECT_TRUE(std::isnan(r->logprobs[0]));
    EXPECT_EQ(r->logprobs[1], -1.5);
    EXPECT_EQ(r->logprobs[2], -0.25);
}

TEST(PromptLogprobs, OtherTokensAreNoticed) {
    EXPECT_EQ(read(R"({"choices":[{"prompt_logprobs":[null,{"21":{"logprob":-1}},{"30":{"logprob":-1}}]}]})", LogprobsBy::kPromptLogprobs).error().code, ErrorCode::kMismatch);
    EXPECT_EQ(read(R"({"choices":[{"prompt_logprobs":[null,{"20":{"logprob":-1}}]}]})", LogprobsBy::kPromptLogprobs).error().code, ErrorCode::kMismatch);
    EXPECT_EQ(read(R"({"choices":[{"logprobs":{"tokens":["a","b"],"token_logprobs":[null,-1]}}],"usage":{"completion_tokens":0}})", LogprobsBy::kEchoTokens).error().code, ErrorCode::kMismatch);
}

TEST(PromptLogprobs, EchoWithTheGeneratedTokenBehind) {
    const std::string body = R"({"choices":[{"text":"The cat sat on","logprobs":{"tokens":["The"," cat"," sat"," on"],"token_logprobs":[null,-2,-3,-0.1],"text_offset":[0,3,7,11]}}],
                                 "usage":{"prompt_tokens":3,"completion_tokens":1}})";
    for (const LogprobsBy by : {LogprobsBy::kEchoTokens, LogprobsBy::kEchoText}) {
        const auto r = read(body, by);
        ASSERT_TRUE(r.ok()) << r.error().text();
        EXPECT_EQ(r->tokens, (std::vector<std::string>{"The", " cat", " sat"}));
        EXPECT_EQ(r->generated, " on");
        ASSERT_EQ(r->logprobs.size(), 3u);
        EXPECT_TRUE(std::isnan(r->logprobs[0]));
        EXPECT_EQ(r->logprobs[2], -3);
        EXPECT_EQ(r->usage_prompt_tokens, 3u);
        EXPECT_TRUE(check_alignment(*r, kPrompt.text, "test").ok());
    }
}

TEST(PromptLogprobs, EndOfTextAtOnceLeavesNothingToDrop) {
    const auto r = read(R"({"choices":[{"logprobs":{"tokens":["The"," cat"," sat"],"token_logprobs":[null,-2,-3]}}],"usage":{"prompt_tokens":3,"completion_tokens":0}})", LogprobsBy::kEchoText);
    ASSERT_TRUE(r.ok()) << r.error().text();
    EXPECT_EQ(r->logprobs.size(), 3u);
}

TEST(PromptLogprobs, ShiftedListIsRefused) {
    // llama-cpp-python without BOS: as many entries as the prompt has, though a token was generated.
    const auto r = read(R"({"choices":[{"text":"The cat sat on","logprobs":{"tokens":["The"," cat"," sat"],"token_logprobs":[null,-12,-13]}}],"usage":{"prompt_tokens":3,"completion_tokens":1}})",
                        LogprobsBy::kEchoText);
    ASSERT_TRUE(r.ok());
    const Status s = check_alignment(*r, kPrompt.text, "test");
    ASSERT_FALSE(s.ok());
    EXPECT_EQ(s.error().code, ErrorCode::kUnsupported);
    EXPECT_NE(s.error().text().find("position after"), std::string::npos);
    EXPECT_FALSE(s.error().hint.empty());
}

TEST(PromptLogprobs, BosBeforeTheTextIsAligned) {
    const auto r = read(R"({"choices":[{"logprobs":{"tokens":["<s>"," The"," cat"," sat"," on"],"token_logprobs":[null,-1,-2,-3,-4]}}],"usage":{"prompt_tokens":4,"completion_tokens":1}})", LogprobsBy::kEchoText);
    ASSERT_TRUE(r.ok());
    EXPECT_TRUE(check_alignment(*r, kPrompt.text, "test").ok());
    EXPECT_EQ(check_alignment(*r, "Another text", "test").error().code, ErrorCode::kMismatch);
}

TEST(PromptLogprobs, NotOffered) {
    // llama-server: echo is not heard, only the generated token has a value. Others: nothing, or null for everything.
    for (const char* body : {R"({"choices":[{"text":" on","logprobs":{"content":[{"token":" on","logprob":-0.1}]}}]})", R"({"choices":[{"text":" on","logprobs":{"tokens":[" on"],"token_logprobs":[-0.1]}}]})",
                             R"({"choices":[{"text":" on","logprobs":null}]})", R"({"choices":[{"text":" on"}]})",
                             R"({"choices":[{"logprobs":{"tokens":["The"," cat"," sat"," on"],"token_logprobs":[null,null,null,-1]}}]})"}) {
        for (const LogprobsBy by : {LogprobsBy::kPromptLogprobs, LogprobsBy::kEchoTokens, LogprobsBy::kEchoText}) {
            const auto r = read(body, by);
            ASSERT_FALSE(r.ok()) << body;
            EXPECT_EQ(r.error().code, ErrorCode::kUnsupported) << body;
            EXPECT_NE(r.error().hint.find("vLLM"), std::string::npos);
        }
    }
}

TEST(PromptLogprobs, Malformed) {
    for (const char* body : {"", "nonsense", "{}", R"({"choices":[]})", R"({"choices":5})", R"({"choices":[{"prompt_logprobs":5,"logprobs":{"tokens":[1],"token_logprobs":[null,-1,-2,-3]}}]})",
                             R"({"choices":[{"prompt_logprobs":[null,{"20":{"logprob":"x"}},{"30":{"logprob":-1}}],"logprobs":{"token_logprobs":[null,"x",-1,-1]}}]})",
                             R"({"choices":[{"prompt_logprobs":[null,{"20":{"logprob":2.5}},{"30":{"logprob":-1}}],"logprobs":{"token_logprobs":[null,2.5,-1,-1]}}]})"}) {
        for (const LogprobsBy by : {LogprobsBy::kPromptLogprobs, LogprobsBy::kEchoTokens, LogprobsBy::kEchoText}) {
            const auto r = read(body, by);
            ASSERT_FALSE(r.ok()) << body;
            EXPECT_EQ(r.error().code, ErrorCode::kMalformed) << body << ": " << r.error().text();
        }
    }
}

}  // namespace
}  // namespace tenpak::serving

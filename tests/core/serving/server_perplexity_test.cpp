// SPDX-License-Identifier: Apache-2.0
#include "core/serving/server_perplexity.h"

#include <gtest/gtest.h>

#include <cmath>

#include "core/serving/prompts.h"
#include "tests/core/serving/scripted_engine.h"
#include "tests/support/temp_dir.h"

namespace tenpak::serving {
namespace {

using model::Token;
using test::Connection;
using test::ScriptedServer;
using test::ServedRequest;

/// What the scripted model makes of `token` after `before`: any fixed function does.
double logprob(Token before, Token token) { return -0.5 - static_cast<double>((before * 31 + token * 7) % 97) / 20; }

/// Scores prompts in one of the ways that servers have.
struct Scorer {
    std::shared_ptr<const model::Tokenizer> tokenizer = *load_local_tokenizer((test::sample_dir() / "base").string());
    bool ids = true, prompt_logprobs = true, echo = true, adds_bos = false, shifted = false, drops_generated = false;
    std::atomic<int> requests{0};
    int fail_at = 0;

    bool operator()(const ServedRequest& r, Connection& c) {
        if (r.path != "/v1/completions") return c.answer(404, "{}");
        if (++requests == fail_at) return c.answer(400, R"({"error":{"message":"maximum context length is 7"}})");
        const Json j = Json::parse(r.body);
        std::vector<Token> tokens;
        if (j["prompt"].is_string()) tokens = *tokenizer->encode(j["prompt"].get<std::string>(), false);
        else if (!ids) return c.answer(422, R"({"detail":"a string is needed"})");
        else tokens = j["prompt"].get<std::vector<Token>>();
        const std::size_t listed = tokens.size();
        OrderedJson choice = {{"index", 0}, {"text", " x"}, {"finish_reason", "length"}};
        if (j.contains("prompt_logprobs") && prompt_logprobs) {
            OrderedJson list = OrderedJson::array({nullptr});
            for (std::size_t i = 1; i < tokens.size(); ++i) list.push_back({{std::to_string(tokens[i]), {{"logprob", logprob(tokens[i - 1], tokens[i])}, {"rank", 1}}}});
            choice["prompt_logprobs"] = list;
        }
        if (j.contains("echo") && echo) {
            OrderedJson texts = OrderedJson::array(), values = OrderedJson::array();
            if (adds_bos) {
                texts.push_back("<s>");
                values.push_back(nullptr);
            }
            for (std::size_t i = 0; i < tokens.size(); ++i) {
                texts.push_back(tokenizer->decode(std::span(tokens).subspan(i, 1)));
                if (i == 0 && !adds_bos) values.push_back(nullptr);
                else values.push_back(i == 0 ? -1.0 : logprob(tokens[i - 1], tokens[i]));
            }
            if (!shifted) {
                texts.push_back(" x");
                values.push_back(-0.5);
            }
            choice["logprobs"] = {{"tokens", texts}, {"token_logprobs", values}};
        } else if (j.contains("logprobs")) {
            choice["logprobs"] = {{"tokens", {" x"}}, {"token_logprobs", {-0.5}}};
        }
        return c.answer(200, OrderedJson{{"choices", {choice}}, {"usage", {{"prompt_tokens", listed + (adds_bos ? 1 : 0)}, {"completion_tokens", 1}}}}.dump(-1, ' ', false, OrderedJson::error_handler_t::replace));
    }
};

std::string sample_text() {
    std::string text;
    for (int i = 0; i < 60; ++i) text += "Once upon a time there was a little girl, number " + std::to_string(i * 37) + ". She lived in the big forest — with déjà vu 😀.\n";
    return text;
}

double expected_nll(const std::vector<Token>& text, const std::vector<evaluate::Window>& windows) {
    double sum = 0, count = 0;
    for (const evaluate::Window& w : windows) {
        for (std::uint32_t i = w.first; i < w.length; ++i, ++count) sum -= logprob(text[w.begin + i - 1], text[w.begin + i]);
    }
    return sum / count;
}

evaluate::WindowPlan whole(std::size_t tokens, std::uint32_t context, std::uint32_t most) {
    return *evaluate::plan_windows(tokens, 2048, {.context = context, .max_windows = most});
}

Result<ServerPerplexity> measure(Scorer& scorer, const std::vector<Token>& text, const evaluate::WindowPlan& plan, bool chat = false, std::uint32_t concurrency = 4) {
    const ScriptedServer server([&](const ServedRequest& r, Connection& c) { return scorer(r, c); });
    Endpoint e = *parse_endpoint(server.url(), chat);
    const auto client = hub::HttpClient::create();
    return server_perplexity(e, **client, *scorer.tokenizer, text, plan, concurrency, {});
}

TEST(ServerPerplexity, ByTokenIdsExactly) {
    Scorer s;
    const auto text = *s.tokenizer->encode(sample_text(), false);
    const auto o = whole(text.size(), 64, 5);
    ASSERT_EQ(o.windows.size(), 5u);
    EXPECT_EQ(o.convention, "windows-64");
    for (const LogprobsBy by : {LogprobsBy::kPromptLogprobs, LogprobsBy::kEchoTokens}) {
        s.prompt_logprobs = by == LogprobsBy::kPromptLogprobs;
        const auto r = measure(s, text, o);
        ASSERT_TRUE(r.ok()) << r.error().text();
        EXPECT_EQ(r->by, by);
        EXPECT_EQ(r->tokens, 5u * 63);
        EXPECT_EQ(r->windows, 5u);
        EXPECT_EQ(r->context, 64u);
        EXPECT_NEAR(r->nll, expected_nll(text, o.windows), 1e-12);
        EXPECT_NEAR(r->perplexity, std::exp(r->nll), 1e-9);
        EXPECT_GT(r->standard_error, 0);
        EXPECT_EQ(r->window_nll.size(), 5u);
        EXPECT_EQ(r->alignment(), "token ids of the local tokenizer");
    }
}

TEST(ServerPerplexity, OtherConventionsByTheirWindows) {
    Scorer s;
    const auto text = *s.tokenizer->encode(sample_text(), false);
    const auto o = *evaluate::plan_windows(text.size(), 2048, {.context = 64, .max_windows = 6, .convention = evaluate::Convention::kSecondHalf});
    ASSERT_EQ(o.windows.size(), 6u);
    const auto r = measure(s, text, o);
    ASSERT_TRUE(r.ok()) << r.error().text();
    EXPECT_EQ(r->tokens, 6u * 31);
    EXPECT_EQ(r->convention, "second-half-64");
    EXPECT_NEAR(r->nll, expected_nll(text, o.windows), 1e-12);

    const auto overlapping = *evaluate::plan_windows(text.size(), 2048, {.context = 64, .convention = evaluate::Convention::kStride, .stride = 16});
    const auto strided = measure(s, text, overlapping);
    ASSERT_TRUE(strided.ok()) << strided.error().text();
    EXPECT_EQ(strided->tokens, text.size() - 1);
    EXPECT_EQ(strided->convention, "stride-16-of-64");
    EXPECT_NEAR(strided->nll, expected_nll(text, overlapping.windows), 1e-12);
}

TEST(ServerPerplexity, BosInPlaceOfTheFirstToken) {
    Scorer s;
    auto text = *s.tokenizer->encode(sample_text(), false);
    auto o = *evaluate::plan_windows(text.size(), 2048, {.context = 64, .max_windows = 3, .convention = evaluate::Convention::kSecondHalf, .bos = 1});
    for (auto& w : o.windows) w.first = 1;  // so that the BOS takes part in what is scored
    const auto r = measure(s, text, o);
    ASSERT_TRUE(r.ok()) << r.error().text();
    for (const auto& w : o.windows) text[w.begin] = 1;
    EXPECT_NEAR(r->nll, expected_nll(text, o.windows), 1e-12);
    s.ids = false;
    EXPECT_EQ(measure(s, text, o).error().code, ErrorCode::kUnsupported);
}

TEST(ServerPerplexity, ByTextWithItsAlignmentStated) {
    Scorer s;
    s.ids = false;
    const auto text = *s.tokenizer->encode(sample_text(), false);
    const auto o = whole(text.size(), 64, 0);
    for (const bool bos : {false, true}) {
        s.adds_bos = bos;
        const auto r = measure(s, text, o);
        ASSERT_TRUE(r.ok()) << r.error().text();
        EXPECT_EQ(r->by, LogprobsBy::kEchoText);
        EXPECT_EQ(r->server_adds_bos, bos);
        EXPECT_EQ(r->alignment().find("BOS") != std::string::npos, bos);
        EXPECT_EQ(r->windows, o.windows.size());
        // Cuts between words and within a character: where the text of a window becomes other tokens, the result says so.
        const bool same = r->windows_retokenized == 0 && r->trimmed_tokens == 0;
        EXPECT_NEAR(r->nll, expected_nll(text, o.windows), same ? 1e-9 : 0.05);
    }
}

TEST(ServerPerplexity, RetokenizedWindowsCannotServeOverlaps) {
    Scorer s;
    s.ids = false;
    // Tokens that no tokenizer would make of their text: single letters of words.
    std::vector<Token> text;
    for (int i = 0; i < 40; ++i) {
        for (const char* letter : {"t", "h", "e"}) text.push_back(s.tokenizer->encode(letter, false)->back());
    }
    auto o = whole(text.size(), 30, 2);
    const auto whole = measure(s, text, o);
    ASSERT_TRUE(whole.ok()) << whole.error().text();
    EXPECT_EQ(whole->windows_retokenized, 2u);
    EXPECT_NE(whole->alignment().find("2 of 2 windows became other tokens"), std::string::npos);
    for (auto& w : o.windows) w.first = 16;
    const auto half = measure(s, text, o);
    ASSERT_FALSE(half.ok());
    EXPECT_EQ(half.error().code, ErrorCode::kMismatch);
}

TEST(ServerPerplexity, ServersThatCannot) {
    Scorer s;
    const auto text = *s.tokenizer->encode(sample_text(), false);
    const auto o = whole(text.size(), 64, 2);
    s.prompt_logprobs = s.echo = false;
    const auto none = measure(s, text, o);
    ASSERT_FALSE(none.ok());
    EXPECT_EQ(none.error().code, ErrorCode::kUnsupported);
    EXPECT_NE(none.error().text().find("gives no log-probabilities of a prompt"), std::string::npos);
    s.echo = s.shifted = true;
    s.ids = false;
    const auto shifted = measure(s, text, o);
    ASSERT_FALSE(shifted.ok());
    EXPECT_EQ(shifted.error().code, ErrorCode::kUnsupported);
    EXPECT_NE(shifted.error().text().find("position after"), std::string::npos) << shifted.error().text();
    EXPECT_EQ(measure(s, text, o, true).error().code, ErrorCode::kUnsupported);  // chat
}

TEST(ServerPerplexity, FailureNamesItsWindow) {
    Scorer s;
    s.fail_at = 4;  // one probe, two windows, then
    const auto text = *s.tokenizer->encode(sample_text(), false);
    const auto o = whole(text.size(), 64, 5);
    const auto r = measure(s, text, o, false, 1);
    ASSERT_FALSE(r.ok());
    EXPECT_NE(r.error().text().find("window 3"), std::string::npos) << r.error().text();
    EXPECT_NE(r.error().text().find("maximum context length is 7"), std::string::npos);
    EXPECT_NE(r.error().hint.find("--context"), std::string::npos);
}

TEST(ServerPerplexity, BadWindows) {
    Scorer s;
    const auto text = *s.tokenizer->encode(sample_text(), false);
    for (const evaluate::Window w : {evaluate::Window{0, 1, 1}, evaluate::Window{0, 10, 0}, evaluate::Window{0, 10, 10}, evaluate::Window{text.size() - 5, 10, 1}, evaluate::Window{SIZE_MAX, 10, 1}}) {
        evaluate::WindowPlan o;
        o.windows = {w};
        EXPECT_EQ(measure(s, text, o).error().code, ErrorCode::kInvalidArgument);
    }
    EXPECT_EQ(s.requests, 0);
}

}  // namespace
}  // namespace tenpak::serving

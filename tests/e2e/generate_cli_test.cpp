// SPDX-License-Identifier: Apache-2.0
// `tenpak generate` and `tenpak tokenize` as a user runs them. Greedy continuations equal those of transformers
// (tests/oracle/make_generate_fixture.py).
#include <gtest/gtest.h>

#include <fstream>
#include <nlohmann/json.hpp>

#include "core/base/file.h"
#include "tests/support/run_program.h"

using namespace tenpak;
using nlohmann::json;

namespace {

test::Finished run(std::vector<std::string> args) { return test::run_program(test::bin_dir() / "tenpak", args); }
std::string base() { return (test::sample_dir() / "base").string(); }

/// The sample with a chat template.
void make_chat_model(const test::TempDir& dir) {
    for (const auto& e : std::filesystem::directory_iterator(test::sample_dir() / "base")) std::filesystem::copy_file(e.path(), dir.path() / e.path().filename());
    dir.write("chat_template.jinja", "{% for m in messages %}{{ m.role }}: {{ m.content }}\n{% endfor %}{% if messages[0].role == 'user' and 'forbidden' in messages[0].content %}{{ raise_exception('not this') }}{% endif %}");
}

}  // namespace

TEST(GenerateCli, GreedyEqualsTransformers) {
    std::ifstream in(test::source_dir() / "tests/fixtures/engine/generate.json");
    const json cases = json::parse(in);
    ASSERT_GE(cases.size(), 2u);
    for (const json& c : cases) {
        const auto r = run({"generate", base(), "--prompt", c["prompt"], "--max-tokens", "40", "--json", "--quiet"});
        ASSERT_EQ(r.code, 0) << r.err;
        const json j = json::parse(r.out);
        EXPECT_EQ(j["tokens"], c["tokens"]) << c["prompt"];
        EXPECT_EQ(j["text"], c["text"]);
        EXPECT_EQ(j["finish_reason"], c["finish_reason"]);
        EXPECT_GT(j["prompt_tokens"].get<int>(), 0);
        EXPECT_GT(j["first_token_seconds"].get<double>(), 0.0);
        EXPECT_GT(j["tokens_per_second"].get<double>(), 0.0);
        // The stream has the same text, and nothing else.
        const auto plain = run({"generate", base(), "--prompt", c["prompt"], "--max-tokens", "40", "--quiet"});
        EXPECT_EQ(plain.out, c["text"].get<std::string>() + "\n");
    }
}

TEST(GenerateCli, SamplingIsReproducible) {
    const auto text = [&](const char* seed) {
        const auto r = run({"generate", base(), "--prompt", "The", "--max-tokens", "30", "--temperature", "1", "--top-p", "0.95", "--top-k", "200", "--seed", seed, "--json", "--quiet"});
        EXPECT_EQ(r.code, 0) << r.err;
        return json::parse(r.out)["tokens"];
    };
    const json a = text("7");
    EXPECT_EQ(a, text("7"));
    EXPECT_NE(a, text("8"));
}

TEST(GenerateCli, ACandidateAnswersTheSamePrompt) {
    const auto r = run({"generate", base(), "--prompt", "In the beginning", "--max-tokens", "8", "--candidate", "rtn_g128", "--json", "--quiet"});
    ASSERT_EQ(r.code, 0) << r.err;
    EXPECT_EQ(json::parse(r.out)["candidate"], "rtn_g128");
    EXPECT_EQ(json::parse(r.out)["tokens"].size(), 8u);
}

TEST(GenerateCli, ChatUsesTheModelsTemplate) {
    const test::TempDir dir;
    make_chat_model(dir);
    const auto chat = run({"generate", dir.path().string(), "--chat", "Hello", "--system", "Be good", "--max-tokens", "5", "--json", "--quiet"});
    ASSERT_EQ(chat.code, 0) << chat.err;
    const auto same = run({"generate", base(), "--prompt", "system: Be good\nuser: Hello\n", "--max-tokens", "5", "--json", "--quiet"});
    ASSERT_EQ(same.code, 0) << same.err;
    EXPECT_EQ(json::parse(chat.out)["tokens"], json::parse(same.out)["tokens"]);
    EXPECT_EQ(json::parse(chat.out)["prompt_tokens"], json::parse(same.out)["prompt_tokens"]);
    const auto refused = run({"generate", dir.path().string(), "--chat", "forbidden"});
    EXPECT_EQ(refused.code, 2);
    EXPECT_NE(refused.err.find("not this"), std::string::npos) << refused.err;
}

TEST(GenerateCli, RefusesWithOneLine) {
    struct Case { std::vector<std::string> args; int code; const char* says; };
    std::string long_text;
    for (int i = 0; i < 2000; ++i) long_text += "word " + std::to_string(i) + " ";
    const std::vector<Case> cases = {
        {{base()}, 2, "--prompt"},
        {{base(), "--prompt", "a", "--chat", "b"}, 2, "--chat"},
        {{base(), "--prompt", "a", "--system", "b"}, 2, "--system"},
        {{base(), "--chat", "b"}, 1, "chat template"},
        {{base(), "--prompt", "a", "--temperature", "-1"}, 2, "temperature"},
        {{base(), "--prompt", "a", "--top-p", "0"}, 2, "top-p"},
        {{base(), "--prompt", "a", "--candidate", "int5"}, 2, "rtn_g128"},
        {{base(), "--prompt", "a", "--candidate", "gptq_g128"}, 2, "calibration"},
        {{base(), "--prompt", long_text}, 2, "context"},
        {{"/no/such/model", "--prompt", "a"}, 1, "/no/such/model"},
    };
    for (const Case& c : cases) {
        auto args = c.args;
        args.insert(args.begin(), {"generate", "--quiet"});
        const auto r = run(args);
        EXPECT_EQ(r.code, c.code) << r.err;
        EXPECT_NE(r.err.find(c.says), std::string::npos) << r.err;
        EXPECT_EQ(std::count(r.err.begin(), r.err.end(), '\n'), 1) << r.err;
    }
}

TEST(TokenizeCli, IdsTokensAndText) {
    const auto r = run({"tokenize", base(), "--string", "In the beginning", "--json"});
    ASSERT_EQ(r.code, 0) << r.err;
    const json j = json::parse(r.out);
    EXPECT_EQ(j["decoded"], "In the beginning");
    EXPECT_EQ(j["ids"].size(), j["tokens"].size());
    const auto plain = run({"tokenize", base(), "--string", "In the beginning"});
    std::string want;
    for (const auto& id : j["ids"]) want += (want.empty() ? "" : " ") + std::to_string(id.get<int>());
    EXPECT_EQ(plain.out, want + "\n");
    // A folder with nothing but a tokenizer.
    const auto folder = run({"tokenize", (test::source_dir() / "tests/fixtures/tokenizers/gemma-like").string(), "--string", "Hello"});
    EXPECT_EQ(folder.code, 0) << folder.err;
    const test::TempDir dir;
    const auto none = run({"tokenize", dir.path().string(), "--string", "Hello"});
    EXPECT_EQ(none.code, 1);
    EXPECT_NE(none.err.find("no tokenizer.json"), std::string::npos) << none.err;
}

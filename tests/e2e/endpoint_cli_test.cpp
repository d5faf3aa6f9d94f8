// SPDX-License-Identifier: Apache-2.0
// tenpak bench and eval with --endpoint: the JSON keys, the exit codes, and that the token stays where it belongs.
#include <gtest/gtest.h>

#include "tests/core/serving/scripted_engine.h"
#include "tests/support/run_program.h"

namespace tenpak::test {
namespace {

using serving::Engine;

struct Served {
    Engine engine;
    ScriptedServer server{[this](const ServedRequest& r, Connection& c) { return engine(r, c); }};
};

TEST(EndpointCli, BenchPrintsItsKeys) {
    Served s;
    s.engine.first = s.engine.between = std::chrono::milliseconds(2);
    const auto r = tenpak({"--json", "bench", "--endpoint", s.server.url(), "--prompt", "8", "--generate", "4", "--samples", "6", "--concurrency", "1,3"});
    ASSERT_EQ(r.code, 0) << r.err;
    const Json j = Json::parse(r.out);
    for (const char* key : {"latency_ms", "samples", "time_to_first_token_ms", "prefill_tps", "decode_tps", "memory_bytes", "bandwidth_fraction", "backend", "device", "requests", "errors", "ttft_ms", "tpot_ms",
                            "e2e_ms", "concurrency", "request_rate", "token_counts", "prompt_counts", "levels", "variation", "model"}) {
        EXPECT_TRUE(j.contains(key)) << key;
    }
    EXPECT_EQ(j["concurrency"], Json({1, 3}));
    EXPECT_EQ(j["levels"].size(), 2u);
    EXPECT_EQ(j["requests"], 3 + 9);
    EXPECT_EQ(j["errors"], 0);
    EXPECT_EQ(j["token_counts"], "usage");
    EXPECT_EQ(j["model"], "scripted");
    EXPECT_EQ(j["levels"][1]["generated_tokens"], 9 * 4);
    const auto text = tenpak({"bench", "--endpoint", s.server.url(), "--prompt", "8", "--generate", "4", "--samples", "6", "--chat"});
    ASSERT_EQ(text.code, 0) << text.err;
    EXPECT_NE(text.out.find("fewer than 300 samples"), std::string::npos) << text.out;
    EXPECT_NE(text.out.find("/v1/chat/completions"), std::string::npos) << text.out;
}

TEST(EndpointCli, TheTokenGoesToTheServerOnly) {
    Served s;
    s.engine.first = s.engine.between = std::chrono::milliseconds(1);
    const auto r = tenpak({"--json", "bench", "--endpoint", s.server.url(), "--prompt", "8", "--generate", "2", "--samples", "3", "--token-env", "MY_KEY"}, {"MY_KEY=sk-e2e-secret"});
    ASSERT_EQ(r.code, 0) << r.err;
    EXPECT_EQ((r.out + r.err).find("sk-e2e-secret"), std::string::npos);
    for (const auto& q : s.server.requests()) EXPECT_NE(q.head.find("Authorization: Bearer sk-e2e-secret"), std::string::npos);
    EXPECT_EQ(tenpak({"bench", "--endpoint", s.server.url(), "--token-env", "MY_ABSENT_KEY"}).code, 1);
}

TEST(EndpointCli, WhatCannotWorkSaysSo) {
    Served s;
    EXPECT_EQ(tenpak({"bench"}).code, 2);
    EXPECT_EQ(tenpak({"bench", "MODEL", "--endpoint", s.server.url()}).code, 2);
    EXPECT_EQ(tenpak({"bench", "--endpoint", "ftp://h"}).code, 2);
    EXPECT_EQ(tenpak({"eval", "--endpoint", s.server.url()}).code, 2);
    const TempDir dir;
    const std::string text = dir.write("t.txt", "Once upon a time there was a little girl who lived in a big forest.").string();
    EXPECT_EQ(tenpak({"eval", "--endpoint", s.server.url(), "--text", text}).code, 2);  // no tokenizer
    const auto none = tenpak({"eval", "--endpoint", s.server.url(), "--text", text, "--tokenizer", (sample_dir() / "base").string()});
    EXPECT_EQ(none.code, 1);  // the scripted engine streams whatever it is asked
    EXPECT_EQ(std::count(none.err.begin(), none.err.end(), '\n'), 1) << none.err;
    EXPECT_EQ(tenpak({"eval", "--endpoint", s.server.url(), "--text", text, "--tokenizer", (sample_dir() / "base").string(), "--tasks", "x.jsonl"}).code, 1);
}

}  // namespace
}  // namespace tenpak::test

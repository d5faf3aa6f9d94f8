// SPDX-License-Identifier: Apache-2.0
#include "core/serving/benchmark.h"

#include <gtest/gtest.h>

#include <cmath>

#include "tests/core/serving/scripted_engine.h"
#include "tests/support/temp_dir.h"

namespace tenpak::serving {
namespace {

using std::chrono::milliseconds;

Result<BenchmarkResult> measure(Running& r, const BenchmarkOptions& o, bool tokenizer = false, const JobContext& ctx = {}) {
    std::shared_ptr<const model::Tokenizer> t;
    if (tokenizer) t = *load_local_tokenizer((test::sample_dir() / "base").string());
    return measure_endpoint(r.endpoint, *r.client, t, o, ctx);
}

BenchmarkOptions small() {
    BenchmarkOptions o;
    o.prompt = 12;
    o.generate = 6;
    o.samples = 10;
    return o;
}

TEST(Summarize, KnownTimes) {
    // Two clients, each of two requests; tokens at even distances.
    std::vector<RequestRecord> records;
    const auto add = [&](double arrival, std::vector<double> pieces, std::uint64_t tokens) {
        RequestRecord r;
        r.arrival = arrival;
        r.end = pieces.back();
        r.pieces = std::move(pieces);
        r.tokens = tokens;
        r.prompt_tokens = 10;
        r.finish_reason = "length";
        records.push_back(r);
    };
    add(0, {1.0, 1.1, 1.2}, 3);
    add(0, {1.0, 1.2, 1.4}, 6);  // two tokens a piece
    add(1.2, {2.2, 2.3, 2.4}, 3);
    RequestRecord bad;
    bad.arrival = 1.4;
    bad.end = 2.6;
    bad.error = make_error(ErrorCode::kIo, "broken");
    records.push_back(bad);
    const LevelTiming t = summarize(records, 2);
    EXPECT_EQ(t.requests, 3u);
    EXPECT_EQ(t.errors, 1u);
    EXPECT_EQ(t.error_messages.at("broken"), 1u);
    EXPECT_EQ(t.finish_reasons.at("length"), 3u);
    EXPECT_EQ(t.samples, 6u);
    EXPECT_EQ(t.generated_tokens, 12u);
    EXPECT_EQ(t.prompt_tokens, 30u);
    EXPECT_EQ(t.pieces, 9u);
    EXPECT_NEAR(t.latency_ms.p50, 100, 1e-6);
    EXPECT_NEAR(t.latency_ms.p99, 200, 1e-6);
    EXPECT_NEAR(t.ttft_ms.p50, 1000, 1e-6);
    EXPECT_NEAR(t.tpot_ms.p50, 100, 1e-6);  // 100, 400/5 = 80, 100
    EXPECT_NEAR(t.e2e_ms.p50, 1200, 1e-6);  // 1200, 1400, 1200
    EXPECT_NEAR(t.seconds, 2.6, 1e-9);
    EXPECT_NEAR(t.output_tps, 12 / 2.6, 1e-9);
    EXPECT_NEAR(t.requests_per_second, 3 / 2.6, 1e-9);
    ASSERT_EQ(t.rounds, 2u);
    const double a = 9 / 1.4, b = 3 / 1.2, mean = (a + b) / 2;
    EXPECT_NEAR(t.variation, std::sqrt((a - mean) * (a - mean) + (b - mean) * (b - mean)) / mean, 1e-9);
}

TEST(Benchmark, FindsTheScriptedTimings) {
    Engine engine;
    Running r(engine);
    BenchmarkOptions o = small();
    o.concurrency = {1, 4};
    const auto got = measure(r, o);
    ASSERT_TRUE(got.ok()) << got.error().text();
    EXPECT_EQ(got->counts, CountsFrom::kServer);
    EXPECT_EQ(got->prompt_counts, "usage");
    EXPECT_FALSE(got->dialect.token_prompts);
    EXPECT_TRUE(got->dialect.ignore_eos);
    ASSERT_EQ(got->levels.size(), 2u);
    for (const LevelTiming& l : got->levels) {
        EXPECT_EQ(l.requests, 3u * l.concurrency);  // ten samples would need fewer: three rounds at least
        EXPECT_EQ(l.errors, 0u);
        EXPECT_EQ(l.samples, l.requests * 5);
        EXPECT_EQ(l.generated_tokens, l.requests * 6);
        EXPECT_EQ(l.prompt_tokens, l.requests * 17);
        // Lower bounds hold on any machine; upper ones are for a busy one.
        EXPECT_GE(l.latency_ms.p50, 9.0);
        EXPECT_LT(l.latency_ms.p50, 30.0);
        EXPECT_GE(l.ttft_ms.p50, 39.0);
        EXPECT_LT(l.ttft_ms.p50, 90.0);
        EXPECT_GE(l.tpot_ms.p50, 9.5);
        EXPECT_GE(l.e2e_ms.p50, 88.0);
        EXPECT_NEAR(l.output_tps, static_cast<double>(l.generated_tokens) / l.seconds, 1e-9);
        EXPECT_LT(l.output_tps, l.concurrency * 6 / 0.088);
        EXPECT_GE(l.rounds, 3u);
    }
    EXPECT_GT(got->levels[1].output_tps, 2 * got->levels[0].output_tps);
    EXPECT_EQ(r.server.most_at_once(), 4);
    EXPECT_NEAR(got->prefill_tps, 17 / 0.045, 17 / 0.045 * 0.6);
    // No prompt twice: a prefix cache must not help.
    EXPECT_EQ(static_cast<int>(engine.prompts.size()), engine.completions.load());
}

TEST(Benchmark, ChatAndCountedPieces) {
    Engine engine;
    engine.usage = false;
    Running r(engine, true);
    const auto got = measure(r, small());
    ASSERT_TRUE(got.ok()) << got.error().text();
    EXPECT_EQ(got->counts, CountsFrom::kPieces);
    EXPECT_STREQ(counts_from_name(got->counts), "chunks");
    EXPECT_EQ(got->prompt_counts, "words");
    EXPECT_EQ(got->levels[0].generated_tokens, got->levels[0].requests * 6);
    // The role event comes at once, the first text after 40 ms.
    EXPECT_GE(got->levels[0].ttft_ms.p50, 39.0);
}

TEST(Benchmark, SeveralTokensAPiece) {
    Engine engine;
    engine.tokens_per_chunk = 3;
    Running r(engine);
    const auto got = measure(r, small());
    ASSERT_TRUE(got.ok()) << got.error().text();
    const LevelTiming& l = got->levels[0];
    EXPECT_EQ(l.pieces, l.requests * 2);
    EXPECT_EQ(l.generated_tokens, l.requests * 6);
    EXPECT_LT(l.tpot_ms.p50, l.latency_ms.p50 / 2);
}

TEST(Benchmark, TokenIdsOfExactLengthAndFallbacks) {
    Engine engine;
    engine.first = engine.between = milliseconds(1);
    {
        Running r(engine);
        const auto got = measure(r, small(), true);
        ASSERT_TRUE(got.ok()) << got.error().text();
        EXPECT_TRUE(got->dialect.token_prompts);
        for (const auto& request : r.server.requests()) EXPECT_EQ(Json::parse(request.body)["prompt"].size(), 12u);
    }
    engine.refused = {"token ids", "ignore_eos"};
    engine.usage = false;
    {
        Running r(engine);
        const auto got = measure(r, small(), true);
        ASSERT_TRUE(got.ok()) << got.error().text();
        EXPECT_FALSE(got->dialect.token_prompts);
        EXPECT_FALSE(got->dialect.ignore_eos);
        EXPECT_TRUE(got->dialect.usage);
        EXPECT_EQ(got->prompt_counts, "tokenizer");
        EXPECT_EQ(got->levels[0].prompt_tokens, got->levels[0].requests * 12);
    }
    engine.refused = {"ignore_eos", "stream_options"};
    {
        Running r(engine);
        const auto got = measure(r, small());
        ASSERT_TRUE(got.ok()) << got.error().text();
        EXPECT_FALSE(got->dialect.usage);
    }
    engine.refused = {"max_tokens"};
    {
        Running r(engine);
        const auto got = measure(r, small());
        ASSERT_FALSE(got.ok());
        EXPECT_NE(got.error().text().find("max_tokens is not known"), std::string::npos) << got.error().text();
    }
}

TEST(Benchmark, ErrorsAreCountedAndTheRestMeasured) {
    Engine engine;
    engine.first = engine.between = milliseconds(2);
    engine.fail_every = 4;
    Running r(engine);
    BenchmarkOptions o = small();
    o.concurrency = {2};
    o.samples = 100;
    const auto got = measure(r, o);
    ASSERT_TRUE(got.ok()) << got.error().text();
    const LevelTiming& l = got->levels[0];
    EXPECT_GT(l.errors, 0u);
    EXPECT_EQ(l.requests + l.errors, 20u);
    EXPECT_EQ(l.error_messages.at("the server answered with status 500: engine trouble"), l.errors);
    EXPECT_EQ(l.generated_tokens, l.requests * 6);
}

TEST(Benchmark, GivesUpOnAServerThatOnlyFails) {
    Engine engine;
    engine.first = engine.between = milliseconds(1);
    engine.fail_from = 5;
    Running r(engine);
    BenchmarkOptions o = small();
    o.samples = 10000;
    const auto got = measure(r, o);
    ASSERT_FALSE(got.ok());
    EXPECT_NE(got.error().text().find("engine trouble"), std::string::npos);
    EXPECT_LT(engine.completions, 20);
}

TEST(Benchmark, EarlyEndsAreSeen) {
    Engine engine;
    engine.first = engine.between = milliseconds(1);
    engine.end_early = 4;
    Running r(engine);
    const auto got = measure(r, small());
    ASSERT_TRUE(got.ok()) << got.error().text();
    EXPECT_EQ(got->levels[0].finish_reasons.at("stop"), got->levels[0].requests);
    EXPECT_EQ(got->levels[0].generated_tokens, got->levels[0].requests * 4);
}

TEST(Benchmark, PoissonArrivalsCountTheirWait) {
    Engine engine;  // a request takes 90 ms; 40 a second with one at a time: a queue builds up
    engine.first = milliseconds(40);
    Running r(engine);
    BenchmarkOptions o = small();
    o.request_rate = 40;
    o.samples = 50;
    const auto queued = measure(r, o);
    ASSERT_TRUE(queued.ok()) << queued.error().text();
    EXPECT_EQ(queued->levels[0].requests, 10u);
    EXPECT_GT(queued->levels[0].ttft_ms.p95, 200.0);
    EXPECT_EQ(queued->prefill_tps, 0);
    // Twenty at a time serve 20 a second without a queue, and arrivals take their time.
    o.concurrency = {20};
    o.request_rate = 20;
    o.samples = 1;
    o.warm_up = false;
    o.generate = 2;
    const auto open = measure(r, o);
    ASSERT_TRUE(open.ok()) << open.error().text();
    EXPECT_EQ(open->levels[0].requests, 60u);
    EXPECT_LT(open->levels[0].ttft_ms.p50, 100.0);
    EXPECT_GT(open->levels[0].seconds, 60 / 20.0 / 2);
    EXPECT_LT(r.server.most_at_once(), 20);
}

TEST(Benchmark, StopIsHeardWithin200ms) {
    Engine engine;
    engine.first = std::chrono::seconds(20);
    Running r(engine);
    std::stop_source stop;
    hub::HttpClock::time_point asked;
    std::thread stopper([&] {
        std::this_thread::sleep_for(milliseconds(150));
        asked = hub::HttpClock::now();
        stop.request_stop();
    });
    JobContext ctx;
    ctx.stop = stop.get_token();
    BenchmarkOptions o = small();
    o.concurrency = {16};
    const auto got = measure(r, o, false, ctx);
    const auto heard = hub::HttpClock::now();
    stopper.join();
    ASSERT_FALSE(got.ok());
    EXPECT_EQ(got.error().code, ErrorCode::kCancelled);
    EXPECT_LT(heard - asked, milliseconds(200));
    EXPECT_EQ(r.client->active(), 0u);
}

/// A server that answers each completion with `behave`: one clear error, in time, in bounded memory.
void expect_hostile(const std::function<bool(test::Connection&)>& behave, ErrorCode code, double timeout_s = 5) {
    const test::ScriptedServer server([&](const test::ServedRequest&, test::Connection& c) { return behave(c); });
    Endpoint e = *parse_endpoint(server.url(), false);
    e.timeout_s = timeout_s;
    const auto client = hub::HttpClient::create();
    const auto start = hub::HttpClock::now();
    const auto got = measure_endpoint(e, **client, nullptr, small(), {});
    ASSERT_FALSE(got.ok());
    EXPECT_EQ(got.error().code, code) << got.error().text();
    EXPECT_LT(hub::HttpClock::now() - start, std::chrono::seconds(10));
    EXPECT_EQ(got.error().text().find('\n'), std::string::npos);
}

TEST(Benchmark, HostileServers) {
    using test::Connection;
    const std::string piece = R"({"choices":[{"text":"a"}]})";
    expect_hostile(  // goes on for ever
        [&](Connection& c) {
            c.begin_stream();
            while (c.event(piece)) {}
            return false;
        },
        ErrorCode::kMalformed);
    expect_hostile(  // one line without an end
        [](Connection& c) {
            c.begin_stream();
            for (c.chunk("data: "); c.chunk(std::string(10000, 'x'));) {}
            return false;
        },
        ErrorCode::kMalformed);
    expect_hostile(  // comments for ever: bytes are limited
        [](Connection& c) {
            c.begin_stream();
            while (c.chunk(": " + std::string(10000, 'x') + "\n\n")) {}
            return false;
        },
        ErrorCode::kMalformed);
    expect_hostile(  // a byte now and then
        [](Connection& c) {
            c.begin_stream();
            while (c.chunk(":") && c.wait(milliseconds(10))) {}
            return false;
        },
        ErrorCode::kTimeout, 0.3);
    expect_hostile([](Connection& c) { return c.begin_stream() && c.event("{not json") && c.end_stream(); }, ErrorCode::kMalformed);
    expect_hostile([&](Connection& c) { return c.begin_stream() && c.event(piece) && false; }, ErrorCode::kIo);                 // gone in the middle
    expect_hostile([&](Connection& c) { return c.begin_stream() && c.event(piece) && c.end_stream(); }, ErrorCode::kIo);        // ends without an end
    expect_hostile([](Connection& c) { return c.begin_stream() && c.event("[DONE]") && c.end_stream(); }, ErrorCode::kMalformed);  // no text
    expect_hostile([](Connection& c) { return c.answer(200, R"({"choices":[{"text":"hi","finish_reason":"stop"}]})"); }, ErrorCode::kUnsupported);
    expect_hostile([](Connection& c) { return c.answer(200, "<html></html>", "text/html"); }, ErrorCode::kMalformed);
    expect_hostile([](Connection& c) { return c.answer(401, R"({"error":{"message":"no key"}})"); }, ErrorCode::kPermission);
    expect_hostile([](Connection& c) { return c.answer(302, "", "text/plain", "Location: http://127.0.0.1:1/\r\n"); }, ErrorCode::kUnsupported);
}

TEST(Benchmark, BadOptions) {
    Engine engine;
    Running r(engine);
    const auto refused = [&](const std::function<void(BenchmarkOptions&)>& change) {
        BenchmarkOptions o = small();
        change(o);
        const auto got = measure(r, o);
        EXPECT_FALSE(got.ok());
        EXPECT_TRUE(!got.ok() && got.error().code == ErrorCode::kInvalidArgument);
    };
    refused([](auto& o) { o.concurrency = {}; });
    refused([](auto& o) { o.concurrency = {1, 0}; });
    refused([](auto& o) { o.concurrency = {1025}; });
    refused([](auto& o) { o.generate = 1; });
    refused([](auto& o) { o.prompt = 0; });
    refused([](auto& o) { o.samples = 0; });
    refused([](auto& o) { o.request_rate = NAN; });
    refused([](auto& o) { o.request_rate = -1; });
    EXPECT_EQ(engine.completions, 0);
}

TEST(PromptMaker, ExactAndDifferent) {
    const auto tokenizer = load_local_tokenizer((test::sample_dir() / "base").string());
    ASSERT_TRUE(tokenizer.ok()) << tokenizer.error().text();
    PromptMaker a(*tokenizer, 33, 1), b(*tokenizer, 33, 1), words(nullptr, 33, 1);
    const auto first = a.next(), second = a.next(), again = b.next(), plain = words.next();
    EXPECT_EQ(first->tokens.size(), 33u);
    EXPECT_NE(first->tokens, second->tokens);
    EXPECT_EQ(first->tokens, again->tokens);
    EXPECT_EQ(first->text, (*tokenizer)->decode(first->tokens));
    EXPECT_TRUE(plain->tokens.empty());
    EXPECT_EQ(std::count(plain->text.begin(), plain->text.end(), ' '), 32);
    EXPECT_EQ(load_local_tokenizer("/no/such/folder").error().code, ErrorCode::kNotFound);
}

}  // namespace
}  // namespace tenpak::serving

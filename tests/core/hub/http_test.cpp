// SPDX-License-Identifier: Apache-2.0
#include "core/hub/http.h"

#include <gtest/gtest.h>

#include <thread>

#include "tests/support/scripted_server.h"
#include "tests/support/temp_dir.h"

namespace tenpak::hub {
namespace {

using std::chrono::milliseconds;
using test::Connection;
using test::ScriptedServer;
using test::ServedRequest;

HttpRequest get(const std::string& url) {
    HttpRequest r;
    r.url = url;
    r.limits.total_s = r.limits.idle_s = 20;
    return r;
}

BearerToken token(const char* secret) {
    setenv("TENPAK_TEST_TOKEN", secret, 1);
    return *BearerToken::from_environment("TENPAK_TEST_TOKEN");
}

Result<HttpResponse> fetch(HttpRequest r) {
    const auto client = HttpClient::create();
    return (*client)->fetch(std::move(r), {});
}

/// What a handler does to one GET, and the error it must give.
void expect_error(ScriptedServer::Handler handler, ErrorCode code, const std::string& part, const std::function<void(HttpRequest&)>& change = {}) {
    const ScriptedServer server(std::move(handler));
    HttpRequest r = get(server.url("/x"));
    if (change) change(r);
    const auto start = HttpClock::now();
    const auto got = fetch(std::move(r));
    ASSERT_FALSE(got.ok());
    EXPECT_EQ(got.error().code, code) << got.error().text();
    EXPECT_NE(got.error().text().find(part), std::string::npos) << got.error().text();
    EXPECT_LT(HttpClock::now() - start, std::chrono::seconds(10));
}

TEST(Http, GetAndPost) {
    const ScriptedServer server([](const ServedRequest& r, Connection& c) { return c.answer(200, r.method + " " + r.path + " " + r.body, "text/plain", "X-More: yes\r\n"); });
    const auto g = fetch(get(server.url("/a?b=1")));
    ASSERT_TRUE(g.ok()) << g.error().text();
    EXPECT_EQ(g->status, 200);
    EXPECT_EQ(g->body, "GET /a?b=1 ");
    ASSERT_NE(g->header("x-more"), nullptr);
    EXPECT_EQ(*g->header("x-more"), "yes");
    EXPECT_EQ(g->header("absent"), nullptr);

    HttpRequest p = get(server.url("/p"));
    p.method = "POST";
    p.body = std::string(3 << 20, 'x');  // curl would ask before sending so much ("Expect")
    p.headers = {{"Content-Type", "application/json"}};
    p.token = token("sk-1");
    const auto posted = fetch(std::move(p));
    ASSERT_TRUE(posted.ok()) << posted.error().text();
    EXPECT_EQ(posted->body.size(), 8u + (3u << 20));
    const auto seen = server.requests();
    ASSERT_EQ(seen.size(), 2u);
    EXPECT_EQ(seen[0].head.find("Authorization"), std::string::npos);
    EXPECT_NE(seen[1].head.find("Authorization: Bearer sk-1\r\n"), std::string::npos) << seen[1].head;
    EXPECT_NE(seen[1].head.find("Content-Type: application/json"), std::string::npos);
    EXPECT_EQ(seen[1].head.find("Expect"), std::string::npos);
}

TEST(Http, StreamsAsBytesArriveAndManyAtOnce) {
    const ScriptedServer server([](const ServedRequest&, Connection& c) {
        c.begin_stream();
        for (int i = 0; i < 5; ++i) {
            c.chunk("piece");
            if (!c.wait(milliseconds(30))) return false;
        }
        return c.end_stream();
    });
    const auto client = HttpClient::create();
    int done = 0;
    std::vector<std::vector<HttpClock::time_point>> times(8);
    std::vector<std::string> bodies(8);
    const auto start = HttpClock::now();
    for (std::size_t i = 0; i < 8; ++i) {
        HttpRequest r = get(server.url());
        r.on_data = [&, i](std::string_view b, HttpClock::time_point at) {
            bodies[i] += b;
            times[i].push_back(at);
            return Status();
        };
        r.on_done = [&](Result<HttpResponse> answer) {
            EXPECT_TRUE(answer.ok());
            EXPECT_TRUE(answer->body.empty());
            ++done;
        };
        ASSERT_TRUE((*client)->start(std::move(r)).ok());
    }
    while (done < 8) ASSERT_TRUE((*client)->run({}).ok());
    EXPECT_EQ((*client)->active(), 0u);
    EXPECT_EQ(server.most_at_once(), 8);
    EXPECT_LT(HttpClock::now() - start, std::chrono::seconds(8 * 5 * 30 / 1000 + 2));
    for (std::size_t i = 0; i < 8; ++i) {
        EXPECT_EQ(bodies[i], "piecepiecepiecepiecepiece");
        EXPECT_GE(times[i].back() - times[i].front(), milliseconds(100));
    }
}

TEST(Http, ErrorOfOnDataEndsTheRequest) {
    const ScriptedServer server([](const ServedRequest&, Connection& c) { return c.answer(200, "body"); });
    HttpRequest r = get(server.url());
    r.on_data = [](std::string_view, HttpClock::time_point) { return Status(make_error(ErrorCode::kMalformed, "not what I wanted")); };
    const auto got = fetch(std::move(r));
    ASSERT_FALSE(got.ok());
    EXPECT_EQ(got.error().what, "not what I wanted");
    EXPECT_EQ(got.error().where, server.url());
}

TEST(Http, RedirectIsRefusedAndNotFollowed) {
    const ScriptedServer other([](const ServedRequest&, Connection& c) { return c.answer(200, "stolen"); });
    expect_error([&](const ServedRequest&, Connection& c) { return c.answer(307, "", "text/plain", "Location: " + other.url("/steal") + "\r\n"); }, ErrorCode::kUnsupported, "redirects to http://127.0.0.1",
                 [](HttpRequest& r) { r.token = token("sk-secret"); });
    EXPECT_TRUE(other.requests().empty());
}

TEST(Http, BodyIsCapped) {
    const auto small = [](HttpRequest& r) { r.limits.max_body = 10'000; };
    expect_error([](const ServedRequest&, Connection& c) { return c.answer(200, std::string(20'000, 'x')); }, ErrorCode::kMalformed, "longer than 10000 bytes", small);
    // Without a length in the header: endless.
    expect_error(
        [](const ServedRequest&, Connection& c) {
            c.begin_stream();
            while (c.chunk(std::string(1000, 'x'))) {}
            return false;
        },
        ErrorCode::kMalformed, "longer than 10000 bytes", small);
}

TEST(Http, HeadersAreCapped) {
    expect_error(
        [](const ServedRequest&, Connection& c) {
            c.send("HTTP/1.1 200 OK\r\n");
            for (int i = 0; c.send("X-" + std::to_string(i) + ": " + std::string(1000, 'y') + "\r\n");) ++i;
            return false;
        },
        ErrorCode::kMalformed, "headers are longer");
    expect_error(
        [](const ServedRequest&, Connection& c) {
            c.send("HTTP/1.1 200 OK\r\nX: ");
            while (c.send(std::string(1000, 'y'))) {}
            return false;
        },
        ErrorCode::kMalformed, "headers are longer");
}

TEST(Http, SilenceAndSlowDripTimeOut) {
    expect_error([](const ServedRequest&, Connection& c) { return c.wait(std::chrono::seconds(30)); }, ErrorCode::kTimeout, "sent nothing for 0.2 s", [](HttpRequest& r) { r.limits.idle_s = 0.2; });
    expect_error(
        [](const ServedRequest&, Connection& c) {
            c.begin_stream();
            while (c.chunk("x") && c.wait(milliseconds(20))) {}
            return false;
        },
        ErrorCode::kTimeout, "in time", [](HttpRequest& r) { r.limits.total_s = 0.4; });
}

TEST(Http, BrokenAnswers) {
    expect_error([](const ServedRequest&, Connection& c) { return c.send("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf") && false; }, ErrorCode::kIo, "ended before");
    expect_error([](const ServedRequest&, Connection&) { return false; }, ErrorCode::kIo, "ended before");
    expect_error([](const ServedRequest&, Connection& c) { return c.send("SSH-2.0-OpenSSH_9.2\r\n") && false; }, ErrorCode::kMalformed, "not HTTP");
    expect_error([](const ServedRequest&, Connection& c) { return c.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n") && false; }, ErrorCode::kIo, "");
}

TEST(Http, NobodyThere) {
    std::string url;
    { url = ScriptedServer([](const ServedRequest&, Connection&) { return false; }).url(); }
    const auto got = fetch(get(url));
    ASSERT_FALSE(got.ok());
    EXPECT_EQ(got.error().code, ErrorCode::kIo);
    EXPECT_NE(got.error().text().find("no connection"), std::string::npos) << got.error().text();
    EXPECT_FALSE(got.error().hint.empty());
}

TEST(Http, WhatCannotBeSentIsRefused) {
    const auto client = HttpClient::create();
    HttpRequest r = get("http://127.0.0.1:1");
    r.headers = {{"X", "a\r\nEvil: 1"}};
    EXPECT_EQ((*client)->start(r).error().code, ErrorCode::kInvalidArgument);
    r.headers.clear();
    r.method = "DELETE";
    EXPECT_EQ((*client)->start(r).error().code, ErrorCode::kInvalidArgument);
    EXPECT_EQ((*client)->start(get("file:///etc/passwd")).error().code, ErrorCode::kInvalidArgument);
    EXPECT_EQ((*client)->active(), 0u);
    EXPECT_EQ(HttpClient::create({"/no/such.pem"}).error().code, ErrorCode::kNotFound);
}

TEST(Http, StopIsHeardWithin200ms) {
    const ScriptedServer server([](const ServedRequest&, Connection& c) { return c.wait(std::chrono::seconds(30)); });
    std::stop_source stop;
    HttpClock::time_point asked;
    std::thread stopper([&] {
        std::this_thread::sleep_for(milliseconds(150));
        asked = HttpClock::now();
        stop.request_stop();
    });
    JobContext ctx;
    ctx.stop = stop.get_token();
    {
        const auto client = HttpClient::create();
        const auto got = (*client)->fetch(get(server.url()), ctx);
        ASSERT_FALSE(got.ok());
        EXPECT_EQ(got.error().code, ErrorCode::kCancelled);
    }
    const auto heard = HttpClock::now();
    stopper.join();
    EXPECT_LT(heard - asked, milliseconds(200));
}

TEST(Http, ServersWordsWithoutTheToken) {
    const ScriptedServer server([](const ServedRequest& r, Connection& c) {
        if (r.path == "/401") return c.answer(401, R"({"error":{"message":"Incorrect API key provided: sk-secret"}})");
        if (r.path == "/404") return c.answer(404, R"({"detail":"Not Found"})");
        return c.answer(500, "plain \x1b[31m text " + std::string(1 << 20, 'x'), "text/plain");
    });
    const auto said = [&](const std::string& path) {
        HttpRequest r = get(server.url(path));
        r.token = token("sk-secret");
        const auto got = fetch(r);
        EXPECT_TRUE(got.ok());
        return http_status_error(*got, r.url, r.token);
    };
    const Error e401 = said("/401"), e404 = said("/404"), e500 = said("/500");
    EXPECT_EQ(e401.code, ErrorCode::kPermission);
    EXPECT_EQ(e401.what, "the server answered with status 401: Incorrect API key provided: [token]");
    EXPECT_EQ(e404.code, ErrorCode::kNotFound);
    EXPECT_EQ(e404.what, "the server answered with status 404: Not Found");
    EXPECT_EQ(e500.code, ErrorCode::kIo);
    EXPECT_LT(e500.text().size(), 600u);
    EXPECT_EQ(e500.text().find('\x1b'), std::string::npos);
}

TEST(Http, HttpsWithItsCertificateOnly) {
    const test::TempDir dir;
    const std::string pem = (dir / "ca.pem").string();
    const ScriptedServer server([](const ServedRequest&, Connection& c) { return c.answer(200, "secret place"); }, pem);
    const auto unknown = fetch(get(server.url()));
    ASSERT_FALSE(unknown.ok());
    EXPECT_EQ(unknown.error().code, ErrorCode::kIo);
    EXPECT_NE(unknown.error().text().find("--ca-file"), std::string::npos) << unknown.error().text();
    const auto client = HttpClient::create({pem});
    ASSERT_TRUE(client.ok());
    const auto known = (*client)->fetch(get(server.url()), {});
    ASSERT_TRUE(known.ok()) << known.error().text();
    EXPECT_EQ(known->body, "secret place");
}

}  // namespace
}  // namespace tenpak::hub

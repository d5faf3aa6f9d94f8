// SPDX-License-Identifier: Apache-2.0
// A scripted server that speaks the completions protocol with set timings: what the benchmark must find is known.
#pragma once
#include <gtest/gtest.h>

#include <set>

#include "core/base/json.h"
#include "core/serving/endpoint.h"
#include "tests/support/scripted_server.h"

namespace tenpak::serving {

struct Engine {
    std::chrono::milliseconds first{40}, between{10};  ///< before the first token, between tokens
    int tokens_per_chunk = 1;
    bool usage = true;
    std::set<std::string> refused;     ///< parameters that give status 422; "token ids" for a prompt of numbers
    int fail_every = 0;                ///< every n-th completion is answered by status 500
    int fail_from = -1;                ///< all completions from this one on
    int end_early = 0;                 ///< tokens after which a completion stops; 0: never
    std::atomic<int> completions{0};
    std::mutex m;
    std::set<std::string> prompts;     ///< distinct ones seen

    bool operator()(const test::ServedRequest& r, test::Connection& c) {
        if (r.path == "/v1/models") return c.answer(200, R"({"data":[{"id":"scripted","owned_by":"test"}]})");
        const Json j = Json::parse(r.body, nullptr, false);
        if (!j.is_object()) return c.answer(400, R"({"error":{"message":"no JSON"}})");
        const bool chat = r.path == "/v1/chat/completions";
        if (!chat && j["prompt"].is_array() && refused.contains("token ids")) return c.answer(422, R"({"detail":"prompt must be a string"})");
        for (const std::string& name : refused) {
            if (j.contains(name)) return c.answer(422, "{\"detail\":\"" + name + " is not known\"}");
        }
        const int number = ++completions;
        if ((fail_every != 0 && number % fail_every == 0) || (fail_from >= 0 && number >= fail_from)) return c.answer(500, R"({"error":{"message":"engine trouble"}})");
        {
            std::scoped_lock lock(m);
            prompts.insert((chat ? j["messages"] : j["prompt"]).dump());
        }
        const int asked = j["max_tokens"].get<int>(), n = end_early != 0 ? std::min(asked, end_early) : asked;
        if (!c.begin_stream()) return false;
        if (chat && !c.event(R"({"choices":[{"delta":{"role":"assistant","content":""}}]})")) return false;
        if (!c.wait(first)) return false;
        for (int at = 0; at < n; at += tokens_per_chunk) {
            if (at != 0 && !c.wait(between)) return false;
            if (!c.event(chat ? R"({"choices":[{"delta":{"content":" word"}}]})" : R"({"choices":[{"text":" word"}]})")) return false;
        }
        const std::string reason = n < asked ? "stop" : "length";
        if (!c.event(chat ? "{\"choices\":[{\"delta\":{},\"finish_reason\":\"" + reason + "\"}]}" : "{\"choices\":[{\"text\":\"\",\"finish_reason\":\"" + reason + "\"}]}")) return false;
        if (usage && j.contains("stream_options") && !c.event("{\"choices\":[],\"usage\":{\"prompt_tokens\":17,\"completion_tokens\":" + std::to_string(n) + "}}")) return false;
        return c.event("[DONE]") && c.end_stream();
    }
};

struct Running {
    explicit Running(Engine& engine, bool chat = false)
        : server([&engine](const test::ServedRequest& r, test::Connection& c) { return engine(r, c); }), endpoint(*parse_endpoint(server.url(), chat)), client(*hub::HttpClient::create()) {
        endpoint.timeout_s = 20;
    }
    test::ScriptedServer server;
    Endpoint endpoint;
    std::unique_ptr<hub::HttpClient> client;
};

}  // namespace tenpak::serving

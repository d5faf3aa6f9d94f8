// SPDX-License-Identifier: Apache-2.0
// A running server that speaks OpenAI's protocol: vLLM, SGLang, TGI, llama-server, llama-cpp-python and others.
#pragma once
#include <string>

#include "core/hub/http.h"

namespace tenpak::serving {

enum class Api : std::uint8_t { kCompletions, kChat };  ///< /v1/completions, /v1/chat/completions

struct Endpoint {
    std::string base;       ///< "http://host:8000/v1", no '/' at the end
    Api api = Api::kCompletions;
    std::string model;      ///< the name that requests carry; empty: none
    hub::BearerToken token;
    double timeout_s = 600; ///< of one request, and of a silence in one

    std::string completions_url() const { return base + (api == Api::kChat ? "/chat/completions" : "/completions"); }
    /// A POST of JSON to completions_url().
    hub::HttpRequest post(std::string body) const;
};

/// Takes "http://host:8000", ".../v1", ".../v1/completions" or ".../v1/chat/completions" (the last one means kChat, and
/// `chat` does so, too). kInvalidArgument as parse_http_url.
Result<Endpoint> parse_endpoint(const std::string& url, bool chat);

struct ServerInfo {
    std::string model;   ///< the one that is measured; empty where the server lists none
    std::string server;  ///< the "Server" header, "owned_by" of the model: what little servers say of themselves
    std::uint32_t max_model_len = 0;  ///< longest context, where the list has it (vLLM, SGLang)
};
/// GET /models: fills endpoint.model with the first model where it is empty. A server without that list (404, 405, 501) is
/// fine; other failures (no connection, 401, …) are returned: better before the measurement than within it.
Result<ServerInfo> discover(Endpoint& endpoint, hub::HttpClient& client, const JobContext& ctx);

}  // namespace tenpak::serving

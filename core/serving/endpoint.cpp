// SPDX-License-Identifier: Apache-2.0
#include "core/serving/endpoint.h"

#include <algorithm>

#include "core/base/json.h"
#include "core/hub/http_url.h"

namespace tenpak::serving {
namespace {

bool drop_suffix(std::string& s, std::string_view suffix) {
    if (!s.ends_with(suffix)) return false;
    s.resize(s.size() - suffix.size());
    return true;
}

std::string printable(std::string s) {
    std::replace_if(s.begin(), s.end(), [](char c) { return static_cast<unsigned char>(c) < ' ' || c == '\x7f'; }, '?');
    return s.substr(0, 200);
}

}  // namespace

hub::HttpRequest Endpoint::post(std::string body) const {
    hub::HttpRequest r;
    r.method = "POST";
    r.url = completions_url();
    r.headers = {{"Content-Type", "application/json"}};
    r.body = std::move(body);
    r.token = token;
    r.limits.total_s = r.limits.idle_s = timeout_s;
    return r;
}

Result<Endpoint> parse_endpoint(const std::string& url, bool chat) {
    TENPAK_ASSIGN(hub::HttpUrl u, hub::parse_http_url(url));
    if (!u.query.empty()) return make_error(ErrorCode::kInvalidArgument, "the address of an endpoint has no query", url, "Give it as http://HOST:PORT");
    Endpoint e;
    const auto trim = [&] { while (u.path.ends_with('/')) u.path.pop_back(); };
    trim();
    if (drop_suffix(u.path, "/chat/completions")) chat = true;
    else drop_suffix(u.path, "/completions");
    trim();
    // Where servers are behind a path of their own ("/openai/v1beta"), the last part is a version, too.
    const std::string last = u.path.substr(u.path.find_last_of('/') + 1);
    const bool versioned = u.path.size() > 1 && last.size() >= 2 && last[0] == 'v' && last[1] >= '0' && last[1] <= '9';
    if (!versioned) u.path += "/v1";
    e.base = u.text();
    e.api = chat ? Api::kChat : Api::kCompletions;
    return e;
}

Result<ServerInfo> discover(Endpoint& endpoint, hub::HttpClient& client, const JobContext& ctx) {
    hub::HttpRequest r;
    r.url = endpoint.base + "/models";
    r.token = endpoint.token;
    r.limits.max_body = 8u << 20;
    r.limits.total_s = r.limits.idle_s = std::min(30.0, endpoint.timeout_s);
    const std::string url = r.url;
    TENPAK_ASSIGN(const hub::HttpResponse response, client.fetch(std::move(r), ctx));
    ServerInfo info{endpoint.model, {}, 0};
    if (const std::string* s = response.header("server")) info.server = printable(endpoint.token.redact(*s));
    if (response.status == 404 || response.status == 405 || response.status == 501) return info;
    if (response.status >= 400) return hub::http_status_error(response, url, endpoint.token);
    TENPAK_ASSIGN(const Json list, parse_json(response.body, url));
    if (!list.is_object() || !list.contains("data") || !list["data"].is_array()) return info;
    for (const Json& m : list["data"]) {
        if (!m.is_object() || !m.contains("id") || !m["id"].is_string()) continue;
        const std::string id = m["id"].get<std::string>();
        if (!endpoint.model.empty() && id != endpoint.model) continue;
        endpoint.model = info.model = id;
        if (m.contains("owned_by") && m["owned_by"].is_string()) {
            const std::string owner = printable(m["owned_by"].get<std::string>());
            if (!owner.empty() && owner != "me" && owner != "user") info.server += (info.server.empty() ? "" : ", ") + owner;
        }
        if (m.contains("max_model_len") && m["max_model_len"].is_number_unsigned()) {
            info.max_model_len = static_cast<std::uint32_t>(std::min<std::uint64_t>(m["max_model_len"].get<std::uint64_t>(), UINT32_MAX));
        }
        break;
    }
    return info;
}

}  // namespace tenpak::serving

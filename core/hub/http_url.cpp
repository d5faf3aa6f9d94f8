// SPDX-License-Identifier: Apache-2.0
#include "core/hub/http_url.h"

#include <curl/curl.h>

#include <algorithm>
#include <memory>

namespace tenpak::hub {
namespace {

using Handle = std::unique_ptr<CURLU, decltype(&curl_url_cleanup)>;

Error bad(const char* why, std::string_view text) {
    // What stands before '@' may be a password: it is not repeated.
    const auto at = text.rfind('@');
    return make_error(ErrorCode::kInvalidArgument, std::string("the address ") + why, std::string(at == std::string_view::npos ? text : text.substr(at + 1)),
                      "Give it as http://HOST:PORT or https://HOST");
}

/// Empty where the part is absent.
std::string part(CURLU* url, CURLUPart which, unsigned flags = 0) {
    char* text = nullptr;
    if (curl_url_get(url, which, &text, flags) != CURLUE_OK || text == nullptr) return {};
    std::string s = text;
    curl_free(text);
    return s;
}

}  // namespace

std::string HttpUrl::text() const {
    const bool usual = (scheme == "http" && port == "80") || (scheme == "https" && port == "443");
    return scheme + "://" + host + (usual ? "" : ":" + port) + path + (query.empty() ? "" : "?" + query);
}

bool HttpUrl::loopback() const {
    if (host == "localhost" || host == "[::1]") return true;
    // "127.evil.example" is a name: an address has digits and dots only.
    return host.starts_with("127.") && host.find_first_not_of("0123456789.") == std::string::npos;
}

Result<HttpUrl> parse_http_url(std::string_view text) {
    if (text.empty() || text.size() > 4096) return bad("is empty or too long", text.substr(0, 80));
    if (std::any_of(text.begin(), text.end(), [](char c) { return static_cast<unsigned char>(c) <= ' ' || c == '\x7f'; })) {
        return bad("has white space or control characters", text);
    }
    const Handle url(curl_url(), curl_url_cleanup);
    if (!url) return make_error(ErrorCode::kOutOfMemory, "out of memory");
    // NUL cannot be in it (checked above), so the text ends where curl thinks that it ends.
    if (curl_url_set(url.get(), CURLUPART_URL, std::string(text).c_str(), CURLU_NON_SUPPORT_SCHEME) != CURLUE_OK) return bad("is not a URL", text);
    HttpUrl u;
    u.scheme = part(url.get(), CURLUPART_SCHEME);
    if (u.scheme != "http" && u.scheme != "https") return bad("is neither http nor https", text);
    if (!part(url.get(), CURLUPART_USER).empty() || !part(url.get(), CURLUPART_PASSWORD).empty()) {
        return make_error(ErrorCode::kInvalidArgument, "the address holds a user name or password, which would show in logs", bad("", text).where,
                          "Leave it out and give a bearer token in an environment variable or a file");
    }
    if (!part(url.get(), CURLUPART_FRAGMENT).empty()) return bad("has a fragment (#…)", text);
    u.host = part(url.get(), CURLUPART_HOST);
    if (u.host.empty()) return bad("has no host", text);
    std::transform(u.host.begin(), u.host.end(), u.host.begin(), [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; });
    u.port = part(url.get(), CURLUPART_PORT, CURLU_DEFAULT_PORT);
    u.path = part(url.get(), CURLUPART_PATH);
    if (u.path.empty()) u.path = "/";
    u.query = part(url.get(), CURLUPART_QUERY);
    return u;
}

}  // namespace tenpak::hub

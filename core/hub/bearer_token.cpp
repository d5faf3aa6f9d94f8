// SPDX-License-Identifier: Apache-2.0
#include "core/hub/bearer_token.h"

#include <algorithm>
#include <cstdlib>

#include "core/base/file.h"

namespace tenpak::hub {

Result<BearerToken> BearerToken::checked(std::string secret, const std::string& where) {
    if (secret.empty()) return make_error(ErrorCode::kNotFound, "no token there", where, "Put the server's key into it");
    // RFC 6750 allows less; what matters is that the secret cannot begin another header.
    const bool printable = std::all_of(secret.begin(), secret.end(), [](char c) { return c > ' ' && c < '\x7f'; });
    if (!printable || secret.size() > 16384) {
        return make_error(ErrorCode::kInvalidArgument, "the token holds white space, control or non-ASCII characters, or is too long", where, "A bearer token is one word of printable ASCII characters");
    }
    BearerToken t;
    t.secret_ = std::move(secret);
    return t;
}

Result<BearerToken> BearerToken::from_environment(const std::string& variable) {
    const char* value = std::getenv(variable.c_str());
    return checked(value == nullptr ? "" : value, "environment variable " + variable);
}

Result<BearerToken> BearerToken::from_file(const std::string& path) {
    TENPAK_ASSIGN(std::string text, read_text_file(path, 1u << 16));
    text.resize(std::min(text.find('\n'), text.size()));
    const auto first = text.find_first_not_of(" \t\r"), last = text.find_last_not_of(" \t\r");
    return checked(first == std::string::npos ? "" : text.substr(first, last - first + 1), path);
}

std::string BearerToken::redact(std::string text) const {
    if (empty()) return text;
    for (std::size_t at = 0; (at = text.find(secret_, at)) != std::string::npos;) text.replace(at, secret_.size(), "[token]");
    return text;
}

}  // namespace tenpak::hub

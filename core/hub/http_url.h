// SPDX-License-Identifier: Apache-2.0
// The address of a server: http or https, without credentials, fragment or control characters.
#pragma once
#include <string>
#include <string_view>

#include "core/base/error.h"

namespace tenpak::hub {

struct HttpUrl {
    std::string scheme;  ///< "http" or "https"
    std::string host;    ///< lower case, IPv6 in brackets
    std::string port;    ///< never empty
    std::string path;    ///< begins with '/'
    std::string query;   ///< without '?', may be empty
    std::string text() const;  ///< the port is left out where it is the scheme's own
    /// localhost, 127.0.0.0/8 or ::1: what is sent never leaves the machine.
    bool loopback() const;
};
/// kInvalidArgument for anything but http(s), user:password@ (it would show up in output), a fragment, or bad syntax.
Result<HttpUrl> parse_http_url(std::string_view text);

}  // namespace tenpak::hub

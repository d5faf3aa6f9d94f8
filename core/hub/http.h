// SPDX-License-Identifier: Apache-2.0
// The one HTTP transport (libcurl's multi interface): many requests at once in the calling thread, bodies streamed or
// collected, every size and time limited. The other side may be hostile.
//
// HTTP/1.1 over http or https; certificates are verified. A redirect is an error: nothing, least of all a token, is sent
// to an address that the user did not name. Bodies are asked for uncompressed, so that none can be a bomb.
// The program must ignore SIGPIPE: with https a server that goes away raises it in some builds of libcurl.
// Proxies of the environment (http_proxy, https_proxy, no_proxy) are used, except for this machine itself.
#pragma once
#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "core/base/error.h"
#include "core/base/job_context.h"
#include "core/hub/bearer_token.h"

namespace tenpak::hub {

using HttpClock = std::chrono::steady_clock;

struct HttpLimits {
    std::uint64_t max_body = 64u << 20;    ///< bytes; kMalformed beyond
    std::uint64_t max_headers = 64u << 10; ///< bytes, all header lines of a response together; kMalformed beyond
    double connect_s = 10;
    double idle_s = 300;   ///< without one byte of a response; kTimeout
    double total_s = 600;  ///< from start() to the last byte; kTimeout
};

struct HttpResponse {
    long status = 0;
    std::vector<std::pair<std::string, std::string>> headers;  ///< names in lower case
    std::string body;  ///< empty where on_data took it; of a failed request (status 400 and more) always here, cut at 64 KiB
    const std::string* header(std::string_view lower_case_name) const;  ///< null where absent
};

struct HttpRequest {
    std::string method = "GET";  ///< GET or POST
    std::string url;
    std::vector<std::pair<std::string, std::string>> headers;
    std::string body;            ///< of a POST
    BearerToken token;           ///< empty: no Authorization header
    HttpLimits limits;
    /// Takes the body of a response with a 2xx status as it arrives; an error ends the request with that error. Called
    /// within run(): it must not call the client.
    std::function<Status(std::string_view bytes, HttpClock::time_point at)> on_data;
    /// The end, exactly once unless the request was cancelled or the client destroyed. Called within run(); may start()
    /// others. Errors: kNotFound (host), kIo (connection, TLS), kTimeout, kMalformed (broken or oversized answer), kUnsupported (redirect).
    std::function<void(Result<HttpResponse>)> on_done;
};

/// Not thread-safe: one thread at a time; different clients are independent. Connections are kept and reused.
class HttpClient {
   public:
    struct Options {
        std::string ca_file;  ///< PEM certificates to trust instead of the system's; empty: the system's
    };
    static Result<std::unique_ptr<HttpClient>> create(Options options);
    static Result<std::unique_ptr<HttpClient>> create() { return create(Options{}); }
    ~HttpClient();  ///< ends what is running without a word
    HttpClient(const HttpClient&) = delete;
    HttpClient& operator=(const HttpClient&) = delete;

    /// Begins a request; it makes progress within run(). kInvalidArgument: address, method or header that cannot be sent.
    Result<std::uint64_t> start(HttpRequest request);
    /// Moves data until something happened, at most `wait` (never longer than 20 ms, so that a stop is heard).
    /// kCancelled: the job was stopped; the requests are still there and end with the client.
    Status run(const JobContext& ctx, std::chrono::milliseconds wait = std::chrono::milliseconds(20));
    void cancel(std::uint64_t id);  ///< on_done is not called
    void cancel_all();
    std::size_t active() const;
    /// One request from start to end (its on_done is not used). Other requests make progress meanwhile.
    Result<HttpResponse> fetch(HttpRequest request, const JobContext& ctx);

   private:
    struct Impl;
    explicit HttpClient(std::unique_ptr<Impl> impl);
    std::unique_ptr<Impl> impl_;
};

/// What a status of 400 and more means: kPermission (401, 403), kNotFound (404), kIo else, with the server's own words,
/// `token` struck out of them.
Error http_status_error(const HttpResponse& response, const std::string& url, const BearerToken& token);

}  // namespace tenpak::hub

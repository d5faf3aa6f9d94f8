// SPDX-License-Identifier: Apache-2.0
#include "core/hub/http.h"

#include <curl/curl.h>

#include <algorithm>
#include <map>
#include <mutex>
#include <optional>

#include "core/base/file.h"
#include "core/base/json.h"
#include "core/hub/http_url.h"

namespace tenpak::hub {
namespace {

constexpr std::size_t kErrorBody = 64u << 10;
constexpr std::size_t kQuoted = 300;  // characters of a server's message that an error repeats
constexpr std::chrono::milliseconds kLongestWait{20};

/// curl_global_init is not thread-safe in every build: once, before the first handle. Never undone: other libraries of
/// the process may use it, too.
bool curl_ready() {
    static std::once_flag once;
    static bool ready = false;
    std::call_once(once, [] { ready = curl_global_init(CURL_GLOBAL_DEFAULT) == CURLE_OK; });
    return ready;
}

std::string lower(std::string_view s) {
    std::string out(s);
    std::transform(out.begin(), out.end(), out.begin(), [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; });
    return out;
}

bool header_safe(std::string_view s) {
    return std::none_of(s.begin(), s.end(), [](char c) { return (static_cast<unsigned char>(c) < ' ' && c != '\t') || c == '\x7f'; });
}

struct ListFree {
    void operator()(curl_slist* l) const { curl_slist_free_all(l); }
};
struct EasyFree {
    void operator()(CURL* e) const { curl_easy_cleanup(e); }
};
using HeaderList = std::unique_ptr<curl_slist, ListFree>;

bool append(HeaderList& list, const std::string& line) {
    curl_slist* longer = curl_slist_append(list.get(), line.c_str());
    if (longer == nullptr) return false;
    (void)list.release();
    list.reset(longer);
    return true;
}

/// One running request. Stays at its address: curl holds pointers to it.
struct Transfer {
    HttpRequest request;
    HttpResponse response;
    std::unique_ptr<CURL, EasyFree> easy;
    HeaderList header_list;
    HttpClock::time_point last_byte;
    std::uint64_t header_bytes = 0, body_bytes = 0;
    std::optional<Error> failure;  ///< why a callback ended it
    char message[CURL_ERROR_SIZE] = {};

    bool failed(ErrorCode code, std::string what) {
        if (!failure) failure = make_error(code, std::move(what), request.url);
        return false;
    }

    bool on_header(std::string_view line) {
        last_byte = HttpClock::now();
        header_bytes += line.size();
        if (header_bytes > request.limits.max_headers) return failed(ErrorCode::kMalformed, "the answer's headers are longer than " + std::to_string(request.limits.max_headers) + " bytes");
        if (line.starts_with("HTTP/")) {  // also after "100 Continue"
            response.headers.clear();
            return true;
        }
        const auto colon = line.find(':');
        if (colon == std::string_view::npos) return true;
        std::string_view value = line.substr(colon + 1);
        while (!value.empty() && (value.front() == ' ' || value.front() == '\t')) value.remove_prefix(1);
        while (!value.empty() && static_cast<unsigned char>(value.back()) <= ' ') value.remove_suffix(1);
        response.headers.emplace_back(lower(line.substr(0, colon)), std::string(value));
        return true;
    }

    bool on_body(std::string_view bytes) {
        const auto now = HttpClock::now();
        last_byte = now;
        curl_easy_getinfo(easy.get(), CURLINFO_RESPONSE_CODE, &response.status);
        body_bytes += bytes.size();
        if (response.status < 200 || response.status >= 300) {
            // A failure's text is for the user to read: its beginning is enough, the rest is not waited for.
            response.body.append(bytes.substr(0, kErrorBody - std::min(kErrorBody, response.body.size())));
            return response.body.size() < kErrorBody;
        }
        if (body_bytes > request.limits.max_body) return failed(ErrorCode::kMalformed, "the answer is longer than " + std::to_string(request.limits.max_body) + " bytes");
        if (!request.on_data) {
            response.body.append(bytes);
            return true;
        }
        Status taken = request.on_data(bytes, now);
        if (taken.ok()) return true;
        if (!failure) failure = std::move(taken).error();
        if (failure->where.empty()) failure->where = request.url;
        return false;
    }
};

// What curl calls: C callbacks, through which no exception may pass.
std::size_t header_callback(char* data, std::size_t, std::size_t bytes, void* user) {
    auto& t = *static_cast<Transfer*>(user);
    try {
        return t.on_header({data, bytes}) ? bytes : 0;
    } catch (const std::bad_alloc&) {
        t.failure = Error{ErrorCode::kOutOfMemory, "not enough memory for the answer's headers", {}, {}};
        return 0;
    }
}
std::size_t body_callback(char* data, std::size_t, std::size_t bytes, void* user) {
    auto& t = *static_cast<Transfer*>(user);
    try {
        return t.on_body({data, bytes}) ? bytes : 0;
    } catch (const std::bad_alloc&) {
        t.failure = Error{ErrorCode::kOutOfMemory, "not enough memory for the answer", {}, {}};
        return 0;
    }
}

Error curl_error(CURLcode code, const Transfer& t) {
    const std::string detail = t.message[0] != 0 ? t.message : curl_easy_strerror(code);
    const auto error = [&](ErrorCode c, std::string what, std::string hint = {}) { return make_error(c, std::move(what) + " (" + detail + ")", t.request.url, std::move(hint)); };
    switch (code) {
        case CURLE_COULDNT_RESOLVE_HOST:
        case CURLE_COULDNT_RESOLVE_PROXY: return error(ErrorCode::kNotFound, "the host's name is not known", "Check the address");
        case CURLE_COULDNT_CONNECT: return error(ErrorCode::kIo, "no connection", "Check the address, and that the server runs");
        case CURLE_OPERATION_TIMEDOUT: return error(ErrorCode::kTimeout, "no complete answer in time", "Allow more with --timeout, or ask for less");
        case CURLE_PEER_FAILED_VERIFICATION:
        case CURLE_SSL_CONNECT_ERROR:
        case CURLE_SSL_CACERT_BADFILE: return error(ErrorCode::kIo, "no secure connection", "A private certificate authority is named with --ca-file");
        case CURLE_WEIRD_SERVER_REPLY:
        case CURLE_UNSUPPORTED_PROTOCOL:
        case CURLE_BAD_CONTENT_ENCODING: return error(ErrorCode::kMalformed, "the answer is not HTTP", "Check the address and its port");
        case CURLE_FILESIZE_EXCEEDED: return error(ErrorCode::kMalformed, "the answer is longer than " + std::to_string(t.request.limits.max_body) + " bytes");
        case CURLE_PARTIAL_FILE:
        case CURLE_GOT_NOTHING:
        case CURLE_RECV_ERROR:
        case CURLE_SEND_ERROR: return error(ErrorCode::kIo, "the connection ended before the answer did");
        // What curl says of a header line longer than the 100 kB that it takes; real lack of memory looks the same.
        case CURLE_OUT_OF_MEMORY: return error(ErrorCode::kMalformed, "the answer's headers are longer than the HTTP library takes");
        default: return error(ErrorCode::kIo, "the request failed");
    }
}

Result<HttpResponse> outcome(CURLcode code, Transfer& t) {
    if (t.failure) return std::move(*t.failure);
    curl_easy_getinfo(t.easy.get(), CURLINFO_RESPONSE_CODE, &t.response.status);
    const bool cut_error_text = code == CURLE_WRITE_ERROR && t.response.status >= 300 && t.response.body.size() >= kErrorBody;
    if (code != CURLE_OK && !cut_error_text) return curl_error(code, t);
    if (t.response.status >= 300 && t.response.status < 400) {
        const std::string* to = t.response.header("location");
        return make_error(ErrorCode::kUnsupported, "the server redirects" + (to == nullptr ? "" : " to " + t.request.token.redact(to->substr(0, kQuoted))) + ": that is refused", t.request.url,
                          "Give the final address, if you trust it");
    }
    return std::move(t.response);
}

long milliseconds(double seconds) { return static_cast<long>(std::clamp(seconds, 0.001, 1e6) * 1e3); }

}  // namespace

struct HttpClient::Impl {
    Options options;
    CURLM* multi = nullptr;
    std::map<std::uint64_t, std::unique_ptr<Transfer>> running;
    std::uint64_t next_id = 1;

    ~Impl() {
        for (auto& [id, t] : running) curl_multi_remove_handle(multi, t->easy.get());
        running.clear();
        if (multi != nullptr) curl_multi_cleanup(multi);
    }

    Status set_up(Transfer& t);
    void end(std::uint64_t id, Result<HttpResponse> r) {
        const auto it = running.find(id);
        auto done = std::move(it->second->request.on_done);
        running.erase(it);
        if (done) done(std::move(r));
    }
    void collect();
    void end_idle();
};

Status HttpClient::Impl::set_up(Transfer& t) {
    const HttpRequest& r = t.request;
    TENPAK_ASSIGN(const HttpUrl url, parse_http_url(r.url));
    if (r.method != "GET" && r.method != "POST") return make_error(ErrorCode::kInvalidArgument, "only GET and POST are sent", r.url);
    t.easy.reset(curl_easy_init());
    if (!t.easy) return make_error(ErrorCode::kOutOfMemory, "out of memory");
    CURL* e = t.easy.get();
    bool ok = true;
    const auto set = [&](CURLoption option, auto value) { ok = ok && curl_easy_setopt(e, option, value) == CURLE_OK; };
    set(CURLOPT_URL, url.text().c_str());
    set(CURLOPT_PROTOCOLS_STR, "http,https");
    set(CURLOPT_FOLLOWLOCATION, 0L);
    set(CURLOPT_HTTP_VERSION, static_cast<long>(CURL_HTTP_VERSION_1_1));
    set(CURLOPT_NOSIGNAL, 1L);
    set(CURLOPT_QUICK_EXIT, 1L);  // a name that is still being looked up must not hold up a stop
    set(CURLOPT_ERRORBUFFER, t.message);
    set(CURLOPT_USERAGENT, "tenpak/" TENPAK_VERSION);
    set(CURLOPT_CONNECTTIMEOUT_MS, milliseconds(r.limits.connect_s));
    set(CURLOPT_TIMEOUT_MS, milliseconds(r.limits.total_s));
    set(CURLOPT_MAXFILESIZE_LARGE, static_cast<curl_off_t>(r.limits.max_body));
    set(CURLOPT_HEADERFUNCTION, header_callback);
    set(CURLOPT_HEADERDATA, static_cast<void*>(&t));
    set(CURLOPT_WRITEFUNCTION, body_callback);
    set(CURLOPT_WRITEDATA, static_cast<void*>(&t));
    set(CURLOPT_PRIVATE, static_cast<void*>(&t));
    if (url.loopback()) set(CURLOPT_PROXY, "");
    if (!options.ca_file.empty()) set(CURLOPT_CAINFO, options.ca_file.c_str());
    if (r.method == "POST") {
        set(CURLOPT_POST, 1L);
        set(CURLOPT_POSTFIELDSIZE_LARGE, static_cast<curl_off_t>(r.body.size()));
        set(CURLOPT_POSTFIELDS, r.body.data());  // lives in the transfer as long as the handle
    }
    ok = ok && append(t.header_list, "Expect:");  // else curl waits for "100 Continue" before a large body
    for (const auto& [name, value] : r.headers) {
        if (!header_safe(name) || !header_safe(value) || name.find(':') != std::string::npos) return make_error(ErrorCode::kInvalidArgument, "a header with control characters cannot be sent", r.url);
        ok = ok && append(t.header_list, name + ": " + value);
    }
    if (!r.token.empty()) ok = ok && append(t.header_list, "Authorization: " + r.token.authorization());
    set(CURLOPT_HTTPHEADER, t.header_list.get());
    if (!ok) return make_error(ErrorCode::kInternal, "the HTTP library refuses a setting", r.url);
    return {};
}

void HttpClient::Impl::collect() {
    int left = 0;
    while (const CURLMsg* m = curl_multi_info_read(multi, &left)) {
        if (m->msg != CURLMSG_DONE) continue;
        CURL* e = m->easy_handle;
        const CURLcode code = m->data.result;  // m is gone after the handle is removed
        const auto it = std::find_if(running.begin(), running.end(), [&](const auto& r) { return r.second->easy.get() == e; });
        curl_multi_remove_handle(multi, e);
        if (it == running.end()) continue;
        const std::uint64_t id = it->first;
        end(id, outcome(code, *it->second));
    }
}

void HttpClient::Impl::end_idle() {
    const auto now = HttpClock::now();
    std::vector<std::uint64_t> idle;
    for (const auto& [id, t] : running) {
        if (std::chrono::duration<double>(now - t->last_byte).count() > t->request.limits.idle_s) idle.push_back(id);
    }
    for (const std::uint64_t id : idle) {
        Transfer& t = *running.at(id);
        curl_multi_remove_handle(multi, t.easy.get());
        char seconds[32];
        std::snprintf(seconds, sizeof seconds, "%.3g s", t.request.limits.idle_s);
        end(id, make_error(ErrorCode::kTimeout, std::string("the server sent nothing for ") + seconds, t.request.url, "Allow more with --timeout, or ask for less"));
    }
}

const std::string* HttpResponse::header(std::string_view lower_case_name) const {
    for (const auto& [name, value] : headers) {
        if (name == lower_case_name) return &value;
    }
    return nullptr;
}

HttpClient::HttpClient(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
HttpClient::~HttpClient() = default;

Result<std::unique_ptr<HttpClient>> HttpClient::create(Options options) {
    if (!curl_ready()) return make_error(ErrorCode::kInternal, "the HTTP library cannot be used");
    if (!options.ca_file.empty()) {
        const auto file = File::open(options.ca_file);
        if (!file.ok()) return file.error();
    }
    auto impl = std::make_unique<Impl>();
    impl->options = std::move(options);
    impl->multi = curl_multi_init();
    if (impl->multi == nullptr) return make_error(ErrorCode::kOutOfMemory, "out of memory");
    return std::unique_ptr<HttpClient>(new HttpClient(std::move(impl)));
}

Result<std::uint64_t> HttpClient::start(HttpRequest request) {
    auto t = std::make_unique<Transfer>();
    t->request = std::move(request);
    TENPAK_RETURN_IF_ERROR(impl_->set_up(*t));
    t->last_byte = HttpClock::now();
    if (curl_multi_add_handle(impl_->multi, t->easy.get()) != CURLM_OK) return make_error(ErrorCode::kInternal, "the HTTP library refuses a request", t->request.url);
    const std::uint64_t id = impl_->next_id++;
    impl_->running.emplace(id, std::move(t));
    return id;
}

Status HttpClient::run(const JobContext& ctx, std::chrono::milliseconds wait) {
    TENPAK_RETURN_IF_ERROR(ctx.check());
    int running = 0;
    const auto move_data = [&]() -> Status {
        if (const CURLMcode c = curl_multi_perform(impl_->multi, &running); c != CURLM_OK) return make_error(ErrorCode::kInternal, std::string("the HTTP library failed: ") + curl_multi_strerror(c));
        impl_->collect();
        return {};
    };
    const std::size_t before = impl_->running.size();
    TENPAK_RETURN_IF_ERROR(move_data());
    impl_->end_idle();
    if (impl_->running.size() != before) return ctx.check();
    const auto limit = std::clamp(wait, std::chrono::milliseconds(0), kLongestWait);
    if (curl_multi_poll(impl_->multi, nullptr, 0, static_cast<int>(limit.count()), nullptr) != CURLM_OK) return make_error(ErrorCode::kInternal, "the HTTP library cannot wait");
    TENPAK_RETURN_IF_ERROR(move_data());
    return ctx.check();
}

void HttpClient::cancel(std::uint64_t id) {
    const auto it = impl_->running.find(id);
    if (it == impl_->running.end()) return;
    curl_multi_remove_handle(impl_->multi, it->second->easy.get());
    impl_->running.erase(it);
}

void HttpClient::cancel_all() {
    while (!impl_->running.empty()) cancel(impl_->running.begin()->first);
}

std::size_t HttpClient::active() const { return impl_->running.size(); }

Result<HttpResponse> HttpClient::fetch(HttpRequest request, const JobContext& ctx) {
    std::optional<Result<HttpResponse>> result;
    request.on_done = [&result](Result<HttpResponse> r) { result.emplace(std::move(r)); };
    TENPAK_ASSIGN(const std::uint64_t id, start(std::move(request)));
    while (!result) {
        const Status s = run(ctx);
        if (s.ok() || result) continue;
        cancel(id);  // on_done refers to this frame
        return s.error();
    }
    return std::move(*result);
}

Error http_status_error(const HttpResponse& response, const std::string& url, const BearerToken& token) {
    // Most servers say {"error": {"message": …}}, {"message": …} or {"detail": …}; else the text as it is.
    std::string said = response.body;
    if (const auto j = parse_json(response.body, url); j.ok() && j->is_object()) {
        const Json* at = &*j;
        if (at->contains("error")) at = &(*at)["error"];
        for (const char* key : {"message", "detail"}) {
            if (at->is_object() && at->contains(key)) at = &(*at)[key];
        }
        said = at->is_string() ? at->get<std::string>() : at->dump(-1, ' ', false, Json::error_handler_t::replace);
    }
    said = token.redact(std::move(said));
    if (said.size() > kQuoted) said = said.substr(0, kQuoted) + "…";
    std::string what = "the server answered with status " + std::to_string(response.status) + (said.empty() ? "" : ": " + said);
    switch (response.status) {
        case 401:
        case 403: return make_error(ErrorCode::kPermission, std::move(what), url, token.empty() ? "Name the variable that holds its key with --token-env" : "Check the token");
        case 404: return make_error(ErrorCode::kNotFound, std::move(what), url, "Check the address and the model's name");
        default: return make_error(ErrorCode::kIo, std::move(what), url);
    }
}

}  // namespace tenpak::hub

// SPDX-License-Identifier: Apache-2.0
// An HTTP/1.1 server in this process whose behaviour the test writes: right answers, hostile ones, http or https.
#pragma once
#include <arpa/inet.h>
#include <netinet/in.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <poll.h>
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <filesystem>
#include <functional>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

namespace tenpak::test {

struct ServedRequest {
    std::string method, path, head, body;  ///< head: request line and headers as they came
};

/// One connection of a client. All calls return false once the client is gone or the server is being stopped.
class Connection {
   public:
    Connection(int fd, SSL* ssl, const std::atomic<bool>& stop) : fd_(fd), ssl_(ssl), stop_(stop) {}
    bool send(std::string_view bytes) {
        while (!bytes.empty()) {
            const auto n = ssl_ != nullptr ? SSL_write(ssl_, bytes.data(), static_cast<int>(bytes.size())) : ::send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
            if (stop_) return false;
            if (n < 0 && ssl_ == nullptr && errno == EAGAIN) continue;  // the client reads slowly
            if (n <= 0) return false;
            bytes.remove_prefix(static_cast<std::size_t>(n));
        }
        return true;
    }
    bool wait(std::chrono::milliseconds time) {
        const auto until = std::chrono::steady_clock::now() + time;
        while (!stop_ && std::chrono::steady_clock::now() < until) {
            pollfd p{fd_, POLLIN | POLLRDHUP, 0};
            const auto left = std::chrono::duration_cast<std::chrono::microseconds>(until - std::chrono::steady_clock::now()).count();
            if (left <= 0) break;
            if (left < 2000) {
                std::this_thread::sleep_for(std::chrono::microseconds(left));
                break;
            }
            if (poll(&p, 1, static_cast<int>(std::min<long long>(left / 1000, 20))) > 0 && (p.revents & (POLLRDHUP | POLLHUP | POLLERR)) != 0) return false;
        }
        return !stop_;
    }
    bool answer(int status, std::string_view body, const std::string& type = "application/json", const std::string& more = {}) {
        return send("HTTP/1.1 " + std::to_string(status) + " Scripted\r\nServer: scripted\r\nContent-Type: " + type + "\r\n" + more + "Content-Length: " + std::to_string(body.size()) + "\r\n\r\n" + std::string(body));
    }
    bool begin_stream() { return send("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"); }
    bool chunk(std::string_view data) {
        char size[32];
        std::snprintf(size, sizeof size, "%zx\r\n", data.size());
        return send(size + std::string(data) + "\r\n");
    }
    bool event(const std::string& data) { return chunk("data: " + data + "\n\n"); }
    bool end_stream() { return chunk(""); }
    int read(char* out, int most) {
        if (ssl_ != nullptr) return SSL_read(ssl_, out, most);
        return static_cast<int>(::recv(fd_, out, static_cast<std::size_t>(most), 0));
    }

   private:
    int fd_;
    SSL* ssl_;
    const std::atomic<bool>& stop_;
};

class ScriptedServer {
   public:
    /// Called in the connection's own thread for each request; false closes the connection.
    using Handler = std::function<bool(const ServedRequest&, Connection&)>;

    explicit ScriptedServer(Handler handler, const std::filesystem::path& certificate_out = {}) : handler_(std::move(handler)) {
        signal(SIGPIPE, SIG_IGN);  // OpenSSL writes to clients that are gone
        if (!certificate_out.empty()) make_certificate(certificate_out);
        listen_ = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        sockaddr_in a{};
        a.sin_family = AF_INET;
        a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        socklen_t size = sizeof a;
        if (bind(listen_, reinterpret_cast<sockaddr*>(&a), size) != 0 || listen(listen_, 128) != 0) std::abort();
        getsockname(listen_, reinterpret_cast<sockaddr*>(&a), &size);
        port_ = ntohs(a.sin_port);
        thread_ = std::thread([this] { accept_all(); });
    }
    ~ScriptedServer() {
        stop_ = true;
        thread_.join();
        for (auto& c : connections_) c.join();
        close(listen_);
        SSL_CTX_free(tls_);
    }
    std::string url(const std::string& path = {}) const { return (tls_ != nullptr ? "https://127.0.0.1:" : "http://127.0.0.1:") + std::to_string(port_) + path; }
    std::vector<ServedRequest> requests() const {
        std::scoped_lock lock(m_);
        return requests_;
    }
    int most_at_once() const { return most_; }

   private:
    void accept_all() {
        while (!stop_) {
            pollfd p{listen_, POLLIN, 0};
            if (poll(&p, 1, 20) <= 0) continue;
            const int fd = accept4(listen_, nullptr, nullptr, SOCK_CLOEXEC);
            if (fd >= 0) connections_.emplace_back([this, fd] { serve(fd); });
        }
    }
    void serve(int fd) {
        timeval t{0, 50'000};
        setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &t, sizeof t);
        int yes = 1;
        setsockopt(fd, IPPROTO_TCP, 1 /* TCP_NODELAY */, &yes, sizeof yes);
        SSL* ssl = nullptr;
        if (tls_ != nullptr) {
            ssl = SSL_new(tls_);
            SSL_set_fd(ssl, fd);
            if (SSL_accept(ssl) == 1) talk(fd, ssl);
        } else {
            talk(fd, nullptr);
        }
        if (ssl != nullptr) SSL_free(ssl);
        close(fd);
    }
    void talk(int fd, SSL* ssl) {
        Connection c(fd, ssl, stop_);
        std::string in;
        char buffer[65536];
        while (!stop_) {
            const std::size_t head = in.find("\r\n\r\n");
            std::size_t need = std::string::npos;
            if (head != std::string::npos) {
                std::string lower = in.substr(0, head);
                std::transform(lower.begin(), lower.end(), lower.begin(), [](char ch) { return static_cast<char>(tolower(ch)); });
                const std::size_t at = lower.find("content-length:");
                need = head + 4 + (at == std::string::npos ? 0 : std::stoul(lower.substr(at + 15)));
            }
            if (need == std::string::npos || in.size() < need) {
                if (ssl == nullptr || SSL_pending(ssl) == 0) {
                    pollfd p{fd, POLLIN, 0};
                    if (poll(&p, 1, 20) <= 0) continue;
                }
                const int n = c.read(buffer, sizeof buffer);
                if (n <= 0) return;
                in.append(buffer, static_cast<std::size_t>(n));
                continue;
            }
            ServedRequest r;
            r.head = in.substr(0, head);
            r.body = in.substr(head + 4, need - head - 4);
            in.erase(0, need);
            r.method = r.head.substr(0, r.head.find(' '));
            const std::size_t path = r.method.size() + 1;
            r.path = r.head.substr(path, r.head.find(' ', path) - path);
            {
                std::scoped_lock lock(m_);
                requests_.push_back(r);
                most_ = std::max<int>(most_, ++now_);
            }
            const bool go_on = handler_(r, c);
            --now_;
            if (!go_on) return;
        }
    }
    void make_certificate(const std::filesystem::path& out) {
        EVP_PKEY* key = EVP_EC_gen("P-256");
        X509* x = X509_new();
        X509_set_version(x, 2);
        ASN1_INTEGER_set(X509_get_serialNumber(x), 1);
        X509_gmtime_adj(X509_getm_notBefore(x), -60);
        X509_gmtime_adj(X509_getm_notAfter(x), 3600);
        X509_set_pubkey(x, key);
        X509_NAME* name = X509_get_subject_name(x);
        X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC, reinterpret_cast<const unsigned char*>("scripted"), -1, -1, 0);
        X509_set_issuer_name(x, name);
        X509_EXTENSION* san = X509V3_EXT_conf_nid(nullptr, nullptr, NID_subject_alt_name, "IP:127.0.0.1");
        X509_add_ext(x, san, -1);
        X509_EXTENSION_free(san);
        X509_sign(x, key, EVP_sha256());
        tls_ = SSL_CTX_new(TLS_server_method());
        SSL_CTX_use_certificate(tls_, x);
        SSL_CTX_use_PrivateKey(tls_, key);
        FILE* f = std::fopen(out.c_str(), "w");
        PEM_write_X509(f, x);
        std::fclose(f);
        X509_free(x);
        EVP_PKEY_free(key);
    }

    Handler handler_;
    SSL_CTX* tls_ = nullptr;
    int listen_ = -1;
    unsigned port_ = 0;
    std::atomic<bool> stop_{false};
    std::atomic<int> now_{0}, most_{0};
    std::thread thread_;
    std::vector<std::thread> connections_;  ///< touched by the accepting thread, then by the destructor after it
    mutable std::mutex m_;
    std::vector<ServedRequest> requests_;
};

}  // namespace tenpak::test

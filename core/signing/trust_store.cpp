// SPDX-License-Identifier: Apache-2.0
#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <ctime>

#include "core/base/json.h"
#include "core/signing/ec_key.h"
#include "core/signing/signing.h"

namespace tenpak::signing {
namespace {

constexpr std::uint64_t kMaxStore = 16u << 20;

/// Held while the file is read, changed and written, so that two programs' changes do not undo each other.
class FileLock {
   public:
    static Result<FileLock> take(const fs::path& file) {
        fs::path lock = file;
        lock += ".lock";
        FileLock l;
        l.fd_ = ::open(lock.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
        if (l.fd_ < 0) return errno_error("cannot create", lock.string(), errno);
        while (::flock(l.fd_, LOCK_EX) != 0) {
            if (errno != EINTR) return errno_error("cannot lock", lock.string(), errno);
        }
        return l;
    }
    FileLock(FileLock&& o) noexcept : fd_(std::exchange(o.fd_, -1)) {}
    FileLock& operator=(FileLock&&) = delete;
    ~FileLock() {
        if (fd_ >= 0) ::close(fd_);
    }

   private:
    FileLock() = default;
    int fd_ = -1;
};

Result<std::vector<TrustedKey>> read_keys(const fs::path& file) {
    std::vector<TrustedKey> keys;
    std::error_code ec;
    if (!fs::exists(file, ec)) return keys;
    const std::string where = file.string();
    TENPAK_ASSIGN(const std::string text, read_text_file(file, kMaxStore));
    TENPAK_ASSIGN(const Json j, parse_json(text, where, {kMaxStore, 8}));
    TENPAK_ASSIGN(const std::uint64_t version, json_get<std::uint64_t>(j, "version", where));
    if (version != 1) return make_error(ErrorCode::kUnsupported, "trusted keys of version " + std::to_string(version), where);
    TENPAK_ASSIGN(const Json list, json_get<Json>(j, "keys", where));
    if (!list.is_array()) return make_error(ErrorCode::kMalformed, "\"keys\" must be a list", where);
    for (const Json& k : list) {
        TrustedKey key;
        TENPAK_ASSIGN(key.fingerprint, json_get<std::string>(k, "fingerprint", where));
        TENPAK_ASSIGN(key.name, json_get<std::string>(k, "name", where));
        TENPAK_ASSIGN(key.pem, json_get<std::string>(k, "pem", where));
        TENPAK_ASSIGN(key.added, json_get<std::string>(k, "added", where));
        TENPAK_ASSIGN(const PublicKey parsed, PublicKey::from_pem(key.pem, where));
        if (parsed.fingerprint() != key.fingerprint) {
            return make_error(ErrorCode::kMalformed, "a key does not have the fingerprint beside it", where, "Remove the key \"" + key.name + "\" and add it again");
        }
        keys.push_back(std::move(key));
    }
    return keys;
}

std::string now() {
    const std::time_t t = std::time(nullptr);
    std::tm tm{};
    gmtime_r(&t, &tm);
    char s[32];
    std::strftime(s, sizeof s, "%Y-%m-%dT%H:%M:%SZ", &tm);
    return s;
}

}  // namespace

fs::path TrustStore::default_file() {
    // As the XDG base directory specification: a relative value is ignored.
    if (const char* config = std::getenv("XDG_CONFIG_HOME"); config != nullptr && config[0] == '/') return fs::path(config) / "tenpak" / "trusted-keys.json";
    const char* home = std::getenv("HOME");
    return fs::path(home != nullptr ? home : "/") / ".config" / "tenpak" / "trusted-keys.json";
}

Result<TrustStore> TrustStore::open(const fs::path& file) {
    TrustStore s;
    s.file_ = file;
    TENPAK_ASSIGN(s.keys_, read_keys(file));
    return s;
}

const TrustedKey* TrustStore::find(std::string_view fingerprint) const {
    const auto it = std::find_if(keys_.begin(), keys_.end(), [&](const TrustedKey& k) { return k.fingerprint == fingerprint; });
    return it == keys_.end() ? nullptr : &*it;
}

Status TrustStore::change(const TrustedKey* add, std::string_view remove) {
    if (file_.empty()) return make_error(ErrorCode::kInvalidArgument, "this list of trusted keys has no file");
    std::error_code ec;
    fs::create_directories(file_.parent_path(), ec);
    if (ec) return errno_error("cannot create folder", file_.parent_path().string(), ec.value());
    TENPAK_ASSIGN(const FileLock lock, FileLock::take(file_));
    TENPAK_ASSIGN(auto keys, read_keys(file_));
    std::erase_if(keys, [&](const TrustedKey& k) { return k.fingerprint == remove || (add != nullptr && k.fingerprint == add->fingerprint); });
    if (add != nullptr) keys.push_back(*add);
    OrderedJson list = OrderedJson::array();
    for (const TrustedKey& k : keys) list.push_back({{"fingerprint", k.fingerprint}, {"name", k.name}, {"pem", k.pem}, {"added", k.added}});
    const std::string text = OrderedJson{{"version", 1}, {"keys", std::move(list)}}.dump(2, ' ', false, OrderedJson::error_handler_t::replace) + "\n";
    TENPAK_RETURN_IF_ERROR(write_file_atomic(file_, as_bytes(text)));
    keys_ = std::move(keys);
    return {};
}

Status TrustStore::add(TrustedKey key) {
    TENPAK_ASSIGN(const PublicKey parsed, PublicKey::from_pem(key.pem, "trusted key"));
    if (!key.fingerprint.empty() && key.fingerprint != parsed.fingerprint()) {
        return make_error(ErrorCode::kInvalidArgument, "the key does not have the fingerprint that was given");
    }
    if (!is_valid_utf8(key.name)) return make_error(ErrorCode::kInvalidArgument, "a key's name must be UTF-8");
    key.fingerprint = parsed.fingerprint();
    key.pem = parsed.pem();
    if (key.added.empty()) key.added = now();
    return change(&key, {});
}

Status TrustStore::remove(std::string_view fingerprint) {
    if (find(fingerprint) == nullptr) return make_error(ErrorCode::kNotFound, "no trusted key has this fingerprint", std::string(fingerprint.substr(0, 100)));
    return change(nullptr, std::string(fingerprint));
}

}  // namespace tenpak::signing

// SPDX-License-Identifier: Apache-2.0
#include "core/archive/journal.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <ctime>
#include <random>

namespace tenpak::archive {
namespace {

constexpr std::uint64_t kMaxJournal = 1u << 30;
constexpr std::uint64_t kVersion = 1;
constexpr std::array<const char*, 8> kStateNames{"begun", "stored", "replacing", "removing", "replaced", "undoing", "restored", "closed"};

const char* state_name(State s) { return kStateNames[static_cast<std::size_t>(s)]; }
std::optional<State> state_from(const std::string& name) {
    for (std::size_t i = 0; i < kStateNames.size(); ++i)
        if (name == kStateNames[i]) return static_cast<State>(i);
    return std::nullopt;
}

/// Below home: relative, so that a folder can be moved as a whole. Elsewhere: absolute.
std::string to_text(const fs::path& p, const fs::path& home) {
    const fs::path r = p.lexically_relative(home);
    return r.empty() || *r.begin() == ".." ? p.string() : r.string();
}
Result<fs::path> to_path(const std::string& text, const fs::path& home, const std::string& where) {
    const fs::path p(text);
    if (p.is_absolute()) {
        if (p != p.lexically_normal() || text.find('\0') != text.npos) return make_error(ErrorCode::kMalformed, "a path in the journal is not in its plain form", where);
        return p;
    }
    TENPAK_RETURN_IF_ERROR(check_relative_path(text));
    return home / p;
}

std::string now_text() {
    const std::time_t now = std::time(nullptr);
    std::tm t{};
    gmtime_r(&now, &t);
    std::array<char, 64> s{};
    std::strftime(s.data(), s.size(), "%Y-%m-%dT%H:%M:%SZ", &t);
    return s.data();
}
std::string check_of(const Json& record) { return to_hex(sha256(as_bytes(canonical_json(record)))).substr(0, 16); }

Status check_id(const std::string& id, const std::string& where) {
    if (id.size() == 16 && id.find_first_not_of("0123456789abcdef") == id.npos) return {};
    return make_error(ErrorCode::kMalformed, "an entry's id is not 16 hexadecimal digits", where);
}

/// One line, applied to the entries so far. `torn`: the line is not whole, rather than wrong in what it says.
Status apply(std::string_view line, const fs::path& home, const std::string& where, std::map<std::string, Entry>& entries, bool& torn) {
    torn = true;
    TENPAK_ASSIGN(Json j, parse_json(line, where, {kMaxJournal, 16}));
    TENPAK_ASSIGN(const std::string check, json_get<std::string>(j, "check", where));
    j.erase("check");
    if (check_of(j) != check) return make_error(ErrorCode::kMalformed, "a line does not match its checksum", where);
    torn = false;
    TENPAK_ASSIGN(const std::uint64_t version, json_get<std::uint64_t>(j, "version", where));
    if (version != kVersion) return make_error(ErrorCode::kUnsupported, "a journal of version " + std::to_string(version), where, "A newer tenpak reads it");
    TENPAK_ASSIGN(const std::string id, json_get<std::string>(j, "id", where));
    TENPAK_RETURN_IF_ERROR(check_id(id, where));
    TENPAK_ASSIGN(const std::string name, json_get<std::string>(j, "state", where));
    const auto state = state_from(name);
    if (!state) return make_error(ErrorCode::kMalformed, "an unknown state \"" + name + "\"", where);
    Entry& e = entries[id];
    const bool known = !e.id.empty();
    e.id = id;
    if (*state == State::kUndoing && e.state != State::kUndoing) e.before_undo = e.state;
    e.state = *state;
    if (*state == State::kBegun) {
        TENPAK_ASSIGN(const std::string original, json_get<std::string>(j, "original", where));
        TENPAK_ASSIGN(const std::string artifact, json_get<std::string>(j, "artifact", where));
        TENPAK_ASSIGN(const std::string base, json_get<std::string>(j, "base", where));
        TENPAK_ASSIGN(e.original, to_path(original, home, where));
        TENPAK_ASSIGN(e.artifact, to_path(artifact, home, where));
        TENPAK_ASSIGN(e.base, to_path(base, home, where));
    } else if (!known) {
        return make_error(ErrorCode::kMalformed, "an entry without a beginning", where);
    } else if (*state == State::kStored) {
        TENPAK_ASSIGN(const Json tree, json_get<Json>(j, "tree", where));
        TENPAK_ASSIGN(e.tree, tree_from_json(tree, where));
        TENPAK_ASSIGN(e.manifest_sha256, json_get<std::string>(j, "manifest_sha256", where));
        TENPAK_ASSIGN(e.base_sha256, json_get<std::string>(j, "base_sha256", where));
        TENPAK_ASSIGN(e.stored_bytes, json_get<std::uint64_t>(j, "stored_bytes", where));
    } else if (*state == State::kRemoving || *state == State::kReplaced) {
        TENPAK_ASSIGN(e.freed_bytes, json_get<std::uint64_t>(j, "freed_bytes", where));
    }
    if (e.state > State::kBegun && e.state < State::kClosed && e.tree.files.empty()) return make_error(ErrorCode::kMalformed, "an entry without its files", where);
    return {};
}

/// Applies all lines; `good` is the length of what is whole. Only the last line may be torn.
Status apply_all(std::string_view text, const fs::path& home, std::map<std::string, Entry>& entries, std::uint64_t& good) {
    std::size_t number = 0;
    good = 0;
    while (good < text.size()) {
        ++number;
        const std::size_t end = text.find('\n', good);
        if (end == text.npos) return {};  // torn: its write never finished
        const std::string where = (home / kJournalName).string() + ", line " + std::to_string(number);
        bool torn = false;
        const Status s = apply(text.substr(good, end - good), home, where, entries, torn);
        if (!s.ok()) {
            if (torn && end + 1 == text.size()) return {};  // the length reached the disk and the content did not
            Error e = s.error();
            if (e.hint.empty()) e.hint = "The journal is damaged: nothing was touched. Artifacts still rebuild with tenpak delta reconstruct";
            return e;
        }
        good = end + 1;
    }
    return {};
}

/// Paths in it are acted upon: one that another user could have written is not believed.
Status check_owner(int fd, const fs::path& path) {
    struct stat st{};
    if (::fstat(fd, &st) != 0) return errno_error("cannot look at", path.string(), errno);
    if (!S_ISREG(st.st_mode)) return make_error(ErrorCode::kMalformed, "the journal is not a file", path.string());
    if (st.st_uid != ::geteuid()) return make_error(ErrorCode::kPermission, "the journal belongs to another user", path.string(), "Run tenpak as that user");
    return {};
}

}  // namespace

fs::path Entry::trash() const { return original.parent_path() / ("." + original.filename().string() + ".tenpak-trash-" + id); }
fs::path Entry::restore() const { return original.parent_path() / ("." + original.filename().string() + ".tenpak-restore-" + id); }

std::string new_entry_id() {
    std::random_device random;
    std::array<std::uint8_t, 8> b{};
    for (auto& x : b) x = static_cast<std::uint8_t>(random());
    return to_hex(b);
}

Journal::~Journal() {
    if (fd_ >= 0) ::close(fd_);
}

Result<std::map<std::string, Entry>> Journal::read(const fs::path& home) {
    std::map<std::string, Entry> entries;
    const fs::path path = home / kJournalName;
    std::error_code ec;
    if (!fs::exists(fs::symlink_status(path, ec))) return entries;
    TENPAK_ASSIGN(const File file, File::open(path));
    TENPAK_RETURN_IF_ERROR(check_owner(file.fd(), path));
    TENPAK_ASSIGN(const std::string text, read_text_file(path, kMaxJournal));
    std::uint64_t good = 0;
    TENPAK_RETURN_IF_ERROR(apply_all(text, home, entries, good));
    return entries;
}

Result<std::unique_ptr<Journal>> Journal::open(const fs::path& home) {
    auto j = std::unique_ptr<Journal>(new Journal());
    j->home_ = home;
    const fs::path path = home / kJournalName;
    j->fd_ = ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (j->fd_ < 0) return errno_error("cannot open the journal", path.string(), errno);
    TENPAK_RETURN_IF_ERROR(check_owner(j->fd_, path));
    if (::flock(j->fd_, LOCK_EX | LOCK_NB) != 0)
        return make_error(ErrorCode::kPermission, "another tenpak is archiving or undoing here", home.string(), "Wait until it has ended");
    TENPAK_ASSIGN(const std::string text, read_text_file(path, kMaxJournal));
    TENPAK_RETURN_IF_ERROR(apply_all(text, home, j->entries_, j->end_));
    if (j->end_ < text.size() && ::ftruncate(j->fd_, static_cast<off_t>(j->end_)) != 0) return errno_error("cannot write the journal", path.string(), errno);
    if (::fsync(j->fd_) != 0) return errno_error("cannot write the journal", path.string(), errno);
    TENPAK_RETURN_IF_ERROR(fsync_directory(home));
    return j;
}

Status Journal::record(const Entry& e) {
    Json j = {{"version", kVersion}, {"time", now_text()}, {"id", e.id}, {"state", state_name(e.state)}};
    if (e.state == State::kBegun) {
        j["original"] = to_text(e.original, home_);
        j["artifact"] = to_text(e.artifact, home_);
        j["base"] = to_text(e.base, home_);
    } else if (e.state == State::kStored) {
        j["tree"] = tree_to_json(e.tree);
        j["manifest_sha256"] = e.manifest_sha256;
        j["base_sha256"] = e.base_sha256;
        j["stored_bytes"] = e.stored_bytes;
    } else if (e.state == State::kRemoving || e.state == State::kReplaced) {
        j["freed_bytes"] = e.freed_bytes;
    }
    j["check"] = check_of(j);
    const std::string line = canonical_json(j) + "\n";
    const std::string where = (home_ / kJournalName).string();
    for (std::size_t at = 0; at < line.size();) {
        const ssize_t n = ::pwrite(fd_, line.data() + at, line.size() - at, static_cast<off_t>(end_ + at));
        if (n < 0 && errno == EINTR) continue;
        if (n <= 0) {
            const int error = n < 0 ? errno : ENOSPC;
            // Half a line would be in the way of the next one.
            if (::ftruncate(fd_, static_cast<off_t>(end_)) != 0) return errno_error("cannot write the journal", where, errno);
            return errno_error("cannot write the journal", where, error);
        }
        at += static_cast<std::size_t>(n);
    }
    if (::fsync(fd_) != 0) return errno_error("cannot write the journal", where, errno);
    end_ += line.size();
    Entry& kept = entries_[e.id];
    const State before = kept.id.empty() ? State::kBegun : kept.state;
    kept = e;
    if (e.state == State::kUndoing && before != State::kUndoing) kept.before_undo = before;
    return {};
}

}  // namespace tenpak::archive

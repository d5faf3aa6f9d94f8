// SPDX-License-Identifier: Apache-2.0
#include "core/base/file.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <charconv>
#include <ctime>
#include <random>

namespace tenpak {
namespace {

fs::path temp_name(const fs::path& final_path) {
    static std::atomic<unsigned> counter{0};
    std::random_device rd;
    char suffix[64];
    std::snprintf(suffix, sizeof suffix, ".tmp-%d-%u-%08x", static_cast<int>(getpid()), counter++, rd());
    fs::path p = final_path;
    p += suffix;
    return p;
}
fs::path parent_or_dot(const fs::path& p) { return p.has_parent_path() ? p.parent_path() : fs::path("."); }

Status pwrite_all(int fd, std::uint64_t offset, std::span<const std::byte> d, const fs::path& path) {
    while (!d.empty()) {
        const ssize_t n = ::pwrite(fd, d.data(), d.size(), static_cast<off_t>(offset));
        if (n < 0) {
            if (errno == EINTR) continue;
            return errno_error("cannot write", path.string(), errno);
        }
        if (n == 0) return errno_error("cannot write", path.string(), ENOSPC);
        offset += static_cast<std::uint64_t>(n);
        d = d.subspan(static_cast<std::size_t>(n));
    }
    return {};
}
Status pread_all(int fd, std::uint64_t offset, std::span<std::byte> out, const fs::path& path) {
    while (!out.empty()) {
        const ssize_t n = ::pread(fd, out.data(), out.size(), static_cast<off_t>(offset));
        if (n < 0) {
            if (errno == EINTR) continue;
            return errno_error("cannot read", path.string(), errno);
        }
        if (n == 0) {
            return make_error(ErrorCode::kMalformed, "file ends early", path.string() + ", byte " + std::to_string(offset),
                              "The file is truncated or was changed while it was read: get it again");
        }
        offset += static_cast<std::uint64_t>(n);
        out = out.subspan(static_cast<std::size_t>(n));
    }
    return {};
}
}  // namespace

Result<File> File::open(const fs::path& path) {
    File f;
    f.path_ = path;
    f.fd_ = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    if (f.fd_ < 0) return errno_error("cannot open", path.string(), errno);
    struct stat st{};
    if (fstat(f.fd_, &st) != 0) return errno_error("cannot open", path.string(), errno);
    if (!S_ISREG(st.st_mode)) {
        return make_error(ErrorCode::kInvalidArgument, "not a regular file", path.string(), "Choose a file");
    }
    f.identity_ = {static_cast<std::uint64_t>(st.st_dev), static_cast<std::uint64_t>(st.st_ino),
                   static_cast<std::uint64_t>(st.st_size),
                   static_cast<std::uint64_t>(st.st_mtim.tv_sec) * 1'000'000'000u + static_cast<std::uint64_t>(st.st_mtim.tv_nsec)};
    return f;
}
File::File(File&& o) noexcept : fd_(std::exchange(o.fd_, -1)), path_(std::move(o.path_)), identity_(o.identity_) {}
File& File::operator=(File&& o) noexcept {
    std::swap(fd_, o.fd_);
    std::swap(path_, o.path_);
    std::swap(identity_, o.identity_);
    return *this;
}
File::~File() {
    if (fd_ >= 0) ::close(fd_);
}
Status File::read_at(std::uint64_t offset, std::span<std::byte> out) const { return pread_all(fd_, offset, out, path_); }

Result<AtomicFile> AtomicFile::create(const fs::path& path) {
    AtomicFile f;
    f.final_ = path;
    f.temp_ = temp_name(path);
    std::error_code ec;
    if (fs::is_directory(path, ec)) {
        f.temp_.clear();
        return make_error(ErrorCode::kInvalidArgument, "the output is a folder", path.string(), "Give a file name");
    }
    f.fd_ = ::open(f.temp_.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0644);
    if (f.fd_ < 0) {
        const int e = errno;
        f.temp_.clear();
        return errno_error("cannot create", path.string(), e);
    }
    (void)::flock(f.fd_, LOCK_EX | LOCK_NB);  // for remove_stale_temporaries; a file system without locks keeps its leftovers
    return f;
}
AtomicFile::AtomicFile(AtomicFile&& o) noexcept
    : fd_(std::exchange(o.fd_, -1)), position_(o.position_), final_(std::move(o.final_)), temp_(std::move(o.temp_)) {
    o.temp_.clear();
}
AtomicFile& AtomicFile::operator=(AtomicFile&& o) noexcept {
    if (this != &o) {
        discard();
        fd_ = std::exchange(o.fd_, -1);
        position_ = o.position_;
        final_ = std::move(o.final_);
        temp_ = std::move(o.temp_);
        o.temp_.clear();
    }
    return *this;
}
void AtomicFile::discard() noexcept {
    if (fd_ >= 0) ::close(fd_);
    fd_ = -1;
    if (!temp_.empty()) ::unlink(temp_.c_str());
    temp_.clear();
}
AtomicFile::~AtomicFile() { discard(); }
Status AtomicFile::write(std::span<const std::byte> data) {
    TENPAK_RETURN_IF_ERROR(pwrite_all(fd_, position_, data, final_));
    position_ += data.size();
    return {};
}
Status AtomicFile::write_at(std::uint64_t offset, std::span<const std::byte> d) { return pwrite_all(fd_, offset, d, final_); }
Status AtomicFile::read_at(std::uint64_t offset, std::span<std::byte> out) const { return pread_all(fd_, offset, out, final_); }
Status AtomicFile::commit() {
    if (::fsync(fd_) != 0) return errno_error("cannot write to disk", final_.string(), errno);
    // Open, and so locked, until it has its own name: without the lock it would count as stale.
    if (::rename(temp_.c_str(), final_.c_str()) != 0) return errno_error("cannot rename into place", final_.string(), errno);
    temp_.clear();
    ::close(std::exchange(fd_, -1));
    return fsync_directory(parent_or_dot(final_));
}

Result<AtomicDirectory> AtomicDirectory::create(const fs::path& path) {
    AtomicDirectory d;
    fs::path p = path;
    if (!p.has_filename()) p = p.parent_path();
    d.final_ = p;
    std::error_code ec;
    if (fs::exists(fs::symlink_status(p, ec)) && !(fs::is_directory(p, ec) && fs::is_empty(p, ec))) {
        return make_error(ErrorCode::kInvalidArgument, "the output exists and is not an empty folder", p.string(),
                          "Choose a new folder name");
    }
    const fs::path temp = temp_name(p);
    if (::mkdir(temp.c_str(), 0755) != 0) return errno_error("cannot create folder", p.string(), errno);
    d.temp_ = temp;
    d.fd_ = ::open(temp.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
    if (d.fd_ >= 0) (void)::flock(d.fd_, LOCK_EX | LOCK_NB);
    return d;
}
AtomicDirectory::AtomicDirectory(AtomicDirectory&& o) noexcept
    : fd_(std::exchange(o.fd_, -1)), final_(std::move(o.final_)), temp_(std::move(o.temp_)) {
    o.temp_.clear();
}
AtomicDirectory& AtomicDirectory::operator=(AtomicDirectory&& o) noexcept {
    if (this != &o) {
        discard();
        fd_ = std::exchange(o.fd_, -1);
        final_ = std::move(o.final_);
        temp_ = std::move(o.temp_);
        o.temp_.clear();
    }
    return *this;
}
void AtomicDirectory::discard() noexcept {
    if (fd_ >= 0) ::close(std::exchange(fd_, -1));
    if (temp_.empty()) return;
    std::error_code ec;
    fs::remove_all(temp_, ec);
    temp_.clear();
}
AtomicDirectory::~AtomicDirectory() { discard(); }
Status sync_folder(const fs::path& dir) {
    std::error_code ec;
    std::vector<fs::path> folders{dir};
    for (fs::recursive_directory_iterator it(dir, ec), end; !ec && it != end; it.increment(ec)) {
        if (it->is_directory(ec)) {
            folders.push_back(it->path());
            continue;
        }
        const int fd = ::open(it->path().c_str(), O_RDONLY | O_CLOEXEC);
        const bool synced = fd >= 0 && ::fsync(fd) == 0;
        const int e = errno;
        if (fd >= 0) ::close(fd);
        if (!synced) return errno_error("cannot write to disk", it->path().string(), e);
    }
    if (ec) return errno_error("cannot read the folder", dir.string(), ec.value());
    for (const auto& f : folders) TENPAK_RETURN_IF_ERROR(fsync_directory(f));
    return {};
}
Status AtomicDirectory::commit() {
    TENPAK_RETURN_IF_ERROR(sync_folder(temp_));
    // rename(2) replaces an empty folder; one that was filled meanwhile is refused with ENOTEMPTY.
    if (::rename(temp_.c_str(), final_.c_str()) != 0) return errno_error("cannot rename into place", final_.string(), errno);
    temp_.clear();
    if (fd_ >= 0) ::close(std::exchange(fd_, -1));
    return fsync_directory(parent_or_dot(final_));
}

namespace {

/// The pid in "NAME.tmp-PID-COUNT-RANDOM" (temp_name), or nothing for other names.
std::optional<pid_t> temp_owner(std::string_view name, std::string_view final_name) {
    if (!name.starts_with(final_name)) return std::nullopt;
    name.remove_prefix(final_name.size());
    constexpr std::string_view kMark = ".tmp-";
    if (!name.starts_with(kMark)) return std::nullopt;
    name.remove_prefix(kMark.size());
    pid_t pid = 0;
    unsigned count = 0, random = 0;
    const char* const end = name.data() + name.size();
    auto [p, ec] = std::from_chars(name.data(), end, pid);
    if (ec != std::errc() || p == end || *p != '-' || pid <= 0) return std::nullopt;
    auto [q, ec2] = std::from_chars(p + 1, end, count);
    if (ec2 != std::errc() || q == end || *q != '-' || end - q != 9) return std::nullopt;
    auto [r, ec3] = std::from_chars(q + 1, end, random, 16);
    if (ec3 != std::errc() || r != end) return std::nullopt;
    return pid;
}

/// Whether the owner is gone: its lock is free, and it is no process that has made the name and not yet the lock.
bool is_stale(const fs::path& path, pid_t owner) {
    const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    if (fd < 0) return false;
    struct stat st{};
    const bool free = ::fstat(fd, &st) == 0 && st.st_uid == ::geteuid() && ::flock(fd, LOCK_EX | LOCK_NB) == 0;
    ::close(fd);
    if (!free || owner == ::getpid()) return false;
    return (::kill(owner, 0) != 0 && errno == ESRCH) || std::time(nullptr) - st.st_ctim.tv_sec > 60;
}

}  // namespace

std::size_t remove_stale_temporaries(const fs::path& final_path) noexcept {
    try {
        const fs::path p = final_path.has_filename() ? final_path : final_path.parent_path();
        const std::string name = p.filename().string();
        std::vector<fs::path> stale;
        std::error_code ec;
        for (fs::directory_iterator it(parent_or_dot(p), ec), end; !ec && it != end; it.increment(ec)) {
            const auto owner = temp_owner(it->path().filename().string(), name);
            if (owner && is_stale(it->path(), *owner)) stale.push_back(it->path());
        }
        std::size_t removed = 0;
        for (const fs::path& s : stale) removed += fs::remove_all(s, ec) > 0 && !ec ? 1 : 0;
        return removed;
    } catch (...) {
        return 0;  // leftovers cost space, nothing else
    }
}

Result<Bytes> read_file(const fs::path& path, std::uint64_t cap) {
    TENPAK_ASSIGN(File f, File::open(path));
    if (f.size() > cap) {
        return make_error(ErrorCode::kMalformed, "file is larger than the " + std::to_string(cap) + " bytes allowed here",
                          path.string());
    }
    Bytes b(f.size());
    TENPAK_RETURN_IF_ERROR(f.read_at(0, b));
    return b;
}
Result<std::string> read_text_file(const fs::path& path, std::uint64_t cap) {
    TENPAK_ASSIGN(Bytes b, read_file(path, cap));
    return std::string(as_text(b));
}
Status write_file_atomic(const fs::path& path, std::span<const std::byte> data) {
    TENPAK_ASSIGN(AtomicFile f, AtomicFile::create(path));
    TENPAK_RETURN_IF_ERROR(f.write(data));
    return f.commit();
}
Status fsync_directory(const fs::path& dir) {
    const int fd = ::open(dir.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) return errno_error("cannot open folder", dir.string(), errno);
    const int rc = ::fsync(fd);
    const int e = errno;
    ::close(fd);
    // Some file systems (FUSE, 9p) have no fsync for folders; the rename itself has been done.
    if (rc != 0 && e != EINVAL && e != ENOTSUP) return errno_error("cannot write folder to disk", dir.string(), e);
    return {};
}
Result<std::uint64_t> free_bytes(const fs::path& path) {
    struct statvfs v{};
    fs::path p = path;
    while (::statvfs(p.empty() ? "." : p.c_str(), &v) != 0) {
        if (errno != ENOENT || p.empty()) return errno_error("cannot ask for free space", path.string(), errno);
        p = p.has_parent_path() && p.parent_path() != p ? p.parent_path() : fs::path();
    }
    return static_cast<std::uint64_t>(v.f_bavail) * v.f_frsize;
}

bool is_valid_utf8(std::string_view s) {
    const auto* p = reinterpret_cast<const unsigned char*>(s.data());
    const auto* end = p + s.size();
    while (p < end) {
        const unsigned c = *p++;
        if (c < 0x80) continue;
        int more = 0;
        unsigned cp = 0, least = 0;
        if ((c & 0xe0) == 0xc0) { more = 1; cp = c & 0x1f; least = 0x80; }
        else if ((c & 0xf0) == 0xe0) { more = 2; cp = c & 0x0f; least = 0x800; }
        else if ((c & 0xf8) == 0xf0) { more = 3; cp = c & 0x07; least = 0x10000; }
        else return false;
        if (end - p < more) return false;
        for (int i = 0; i < more; ++i) {
            if ((*p & 0xc0) != 0x80) return false;
            cp = cp << 6 | (*p++ & 0x3f);
        }
        if (cp < least || cp > 0x10ffff || (cp >= 0xd800 && cp <= 0xdfff)) return false;
    }
    return true;
}

Status check_relative_path(std::string_view path) {
    auto bad = [&](const char* why) {
        return make_error(ErrorCode::kMalformed, std::string("unsafe file name: ") + why, std::string(path.substr(0, 200)));
    };
    if (path.empty()) return bad("it is empty");
    if (path.size() > 1024) return bad("it is longer than 1024 bytes");
    if (!is_valid_utf8(path)) return bad("it is not UTF-8");
    for (unsigned char c : path) {
        if (c < 0x20 || c == 0x7f) return bad("it has a control character");
        if (c == '\\' || c == ':') return bad("it has a backslash or a colon");
    }
    for (std::size_t start = 0; start <= path.size();) {
        const std::size_t end = std::min(path.find('/', start), path.size());
        const std::string_view part = path.substr(start, end - start);
        if (part.empty() || part == "." || part == "..") return bad("it has an empty, '.' or '..' part");
        if (part.size() > 255) return bad("a part is longer than 255 bytes");
        if (part.back() == '.' || part.back() == ' ') return bad("a part ends with a dot or a space");
        std::string stem(part.substr(0, part.find('.')));
        for (char& c : stem) c = static_cast<char>(std::toupper(static_cast<unsigned char>(c)));
        if (stem == "CON" || stem == "PRN" || stem == "AUX" || stem == "NUL" ||
            (stem.size() == 4 && (stem.starts_with("COM") || stem.starts_with("LPT")) && stem[3] >= '0' && stem[3] <= '9')) {
            return bad("it is a Windows device name");
        }
        start = end + 1;
    }
    return {};
}

}  // namespace tenpak

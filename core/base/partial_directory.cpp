// SPDX-License-Identifier: Apache-2.0
#include "core/base/partial_directory.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>

namespace tenpak {
namespace {

constexpr std::uint64_t kMaxIdentity = 4096;

fs::path parent_or_dot(const fs::path& p) { return p.has_parent_path() ? p.parent_path() : fs::path("."); }
fs::path without_slash(const fs::path& p) { return p.has_filename() ? p : p.parent_path(); }

}  // namespace

fs::path PartialDirectory::name_for(const fs::path& final_path) {
    const fs::path p = without_slash(final_path);
    return parent_or_dot(p) / ("." + p.filename().string() + ".tenpak-partial");
}

Result<PartialDirectory> PartialDirectory::open(const fs::path& final_path, std::string_view identity) {
    PartialDirectory d;
    d.final_ = without_slash(final_path);
    std::error_code ec;
    if (fs::exists(fs::symlink_status(d.final_, ec)) && !(fs::is_directory(d.final_, ec) && fs::is_empty(d.final_, ec))) {
        return make_error(ErrorCode::kInvalidArgument, "the output exists and is not an empty folder", d.final_.string(), "Choose a new folder name");
    }
    const fs::path path = name_for(final_path);
    for (int attempt = 0;; ++attempt) {
        if (::mkdir(path.c_str(), 0755) != 0 && errno != EEXIST) return errno_error("cannot create folder", d.final_.string(), errno);
        d.fd_ = ::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
        if (d.fd_ < 0 && (errno != ENOENT || attempt > 10)) return errno_error("cannot open folder", path.string(), errno);
        if (d.fd_ < 0) continue;
        if (::flock(d.fd_, LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK) {
            return make_error(ErrorCode::kPermission, "another tenpak is writing this output", d.final_.string(), "Wait until it has ended, or choose another folder");
        }
        struct stat mine{}, there{};  // the one before us may have finished, and removed what we hold
        if (::fstat(d.fd_, &mine) == 0 && ::lstat(path.c_str(), &there) == 0 && mine.st_ino == there.st_ino && mine.st_dev == there.st_dev) {
            if (mine.st_uid != ::geteuid()) return make_error(ErrorCode::kPermission, "another user's unfinished output is in the way", path.string(), "Choose another folder");
            break;
        }
        ::close(std::exchange(d.fd_, -1));
        if (attempt > 10) return make_error(ErrorCode::kIo, "the unfinished output changes all the time", path.string());
    }
    d.path_ = path;  // from here on it vanishes with us
    const auto state = read_text_file(path / "state", kMaxIdentity);
    const fs::file_status files = fs::symlink_status(d.files(), ec);
    if (state.ok() && *state == identity && fs::is_directory(files)) {
        d.resumed_ = true;
        for (fs::recursive_directory_iterator it(d.files(), ec), end; !ec && it != end; it.increment(ec)) {
            struct stat st{};
            if (::lstat(it->path().c_str(), &st) == 0 && S_ISREG(st.st_mode)) d.bytes_there_ += static_cast<std::uint64_t>(st.st_blocks) * 512;
        }
        return d;
    }
    fs::remove_all(path / "state", ec);
    fs::remove_all(d.files(), ec);
    if (::mkdir(d.files().c_str(), 0755) != 0) return errno_error("cannot create folder", d.files().string(), errno);
    TENPAK_RETURN_IF_ERROR(write_file_atomic(path / "state", as_bytes(identity)));
    return d;
}

PartialDirectory::PartialDirectory(PartialDirectory&& o) noexcept
    : fd_(std::exchange(o.fd_, -1)), resumed_(o.resumed_), bytes_there_(o.bytes_there_), final_(std::move(o.final_)), path_(std::move(o.path_)) {
    o.path_.clear();
}
PartialDirectory::~PartialDirectory() {
    if (!path_.empty()) {
        std::error_code ec;
        fs::remove_all(path_, ec);
    }
    if (fd_ >= 0) ::close(fd_);
}

Status PartialDirectory::commit() {
    TENPAK_RETURN_IF_ERROR(sync_folder(files()));
    // rename(2) replaces an empty folder; one that was filled meanwhile is refused with ENOTEMPTY.
    if (::rename(files().c_str(), final_.c_str()) != 0) return errno_error("cannot rename into place", final_.string(), errno);
    std::error_code ec;
    fs::remove_all(path_, ec);
    path_.clear();
    return fsync_directory(parent_or_dot(final_));
}

Result<PartialFile> PartialFile::open(const fs::path& path) {
    PartialFile f;
    f.path_ = path;
    f.fd_ = ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0644);
    if (f.fd_ < 0) return errno_error("cannot create", path.string(), errno);
    struct stat st{};
    if (::fstat(f.fd_, &st) != 0) return errno_error("cannot open", path.string(), errno);
    if (!S_ISREG(st.st_mode)) return make_error(ErrorCode::kIo, "not a regular file", path.string());
    f.earlier_ = static_cast<std::uint64_t>(st.st_size);
    return f;
}
PartialFile::PartialFile(PartialFile&& o) noexcept : fd_(std::exchange(o.fd_, -1)), earlier_(o.earlier_), path_(std::move(o.path_)) {}
PartialFile& PartialFile::operator=(PartialFile&& o) noexcept {
    std::swap(fd_, o.fd_);
    std::swap(earlier_, o.earlier_);
    std::swap(path_, o.path_);
    return *this;
}
PartialFile::~PartialFile() {
    if (fd_ >= 0) ::close(fd_);
}
bool PartialFile::read_earlier(std::uint64_t offset, std::span<std::byte> out) const {
    if (offset > earlier_ || out.size() > earlier_ - offset) return false;
    while (!out.empty()) {
        const ssize_t n = ::pread(fd_, out.data(), out.size(), static_cast<off_t>(offset));
        if (n < 0 && errno == EINTR) continue;
        if (n <= 0) return false;
        offset += static_cast<std::uint64_t>(n);
        out = out.subspan(static_cast<std::size_t>(n));
    }
    return true;
}
Status PartialFile::write_at(std::uint64_t offset, std::span<const std::byte> d) const {
    while (!d.empty()) {
        const ssize_t n = ::pwrite(fd_, d.data(), d.size(), static_cast<off_t>(offset));
        if (n < 0 && errno == EINTR) continue;
        if (n <= 0) return errno_error("cannot write", path_.string(), n < 0 ? errno : ENOSPC);
        offset += static_cast<std::uint64_t>(n);
        d = d.subspan(static_cast<std::size_t>(n));
    }
    return {};
}
Status PartialFile::finish(std::uint64_t size, bool executable) {
    if (earlier_ > size && ::ftruncate(fd_, static_cast<off_t>(size)) != 0) return errno_error("cannot write", path_.string(), errno);
    if (executable && ::fchmod(fd_, 0755) != 0) return errno_error("cannot make executable", path_.string(), errno);
    return {};
}

}  // namespace tenpak

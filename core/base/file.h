// SPDX-License-Identifier: Apache-2.0
// Files: positional reads, and writes that appear whole or not at all (temp file in the same folder, fsync, rename,
// fsync of the folder). All classes are movable, not copyable; File::read_at is safe from many threads at once.
#pragma once
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/error.h"

namespace tenpak {

namespace fs = std::filesystem;
using Bytes = std::vector<std::byte>;

inline std::span<const std::byte> as_bytes(std::string_view s) { return std::as_bytes(std::span(s.data(), s.size())); }
inline std::string_view as_text(std::span<const std::byte> b) { return {reinterpret_cast<const char*>(b.data()), b.size()}; }

/// What identifies the same unchanged file for caches: device, inode, size, modification time in nanoseconds.
struct FileIdentity {
    std::uint64_t device = 0, inode = 0, size = 0, mtime_ns = 0;
    bool operator==(const FileIdentity&) const = default;
};

/// An open regular file for reading. Symbolic links are followed (the hub cache uses them).
class File {
   public:
    static Result<File> open(const fs::path& path);
    File(File&& o) noexcept;
    File& operator=(File&& o) noexcept;
    ~File();

    const fs::path& path() const { return path_; }
    std::uint64_t size() const { return identity_.size; }
    const FileIdentity& identity() const { return identity_; }
    /// Fills `out` from `offset`. kMalformed "file ends early" if the file has shrunk or is too short.
    Status read_at(std::uint64_t offset, std::span<std::byte> out) const;
    int fd() const { return fd_; }

   private:
    File() = default;
    int fd_ = -1;
    fs::path path_;
    FileIdentity identity_;
};

/// A file being written under a temporary name beside its final one. Dropped without commit() it vanishes.
class AtomicFile {
   public:
    /// The folder must exist. An existing file at `path` stays whole until commit().
    static Result<AtomicFile> create(const fs::path& path);
    AtomicFile(AtomicFile&& o) noexcept;
    AtomicFile& operator=(AtomicFile&& o) noexcept;
    ~AtomicFile();

    Status write(std::span<const std::byte> data);                       ///< appends
    Status write_at(std::uint64_t offset, std::span<const std::byte> d); ///< anywhere; does not move the append position
    std::uint64_t position() const { return position_; }                 ///< where write() appends
    /// Reads back what was written (for verification before commit).
    Status read_at(std::uint64_t offset, std::span<std::byte> out) const;
    Status commit();
    const fs::path& path() const { return final_; }
    const fs::path& temporary() const { return temp_; }  ///< where it is until commit(): for checks by other readers

   private:
    AtomicFile() = default;
    void discard() noexcept;
    int fd_ = -1;
    std::uint64_t position_ = 0;
    fs::path final_, temp_;
};

/// A folder being filled under a temporary name beside its final one. Dropped without commit() it vanishes.
class AtomicDirectory {
   public:
    /// Refuses (kInvalidArgument) a final path that exists and is not an empty folder.
    static Result<AtomicDirectory> create(const fs::path& path);
    AtomicDirectory(AtomicDirectory&& o) noexcept;
    AtomicDirectory& operator=(AtomicDirectory&& o) noexcept;
    ~AtomicDirectory();
    const fs::path& path() const { return temp_; }  ///< write into this one
    Status commit();                                ///< fsync of every file and folder, rename, fsync of the parent

   private:
    AtomicDirectory() = default;
    void discard() noexcept;
    int fd_ = -1;  ///< holds the lock that says that the folder is in use
    fs::path final_, temp_;
};

/// Removes what killed processes left of AtomicFile and AtomicDirectory for this final path: temporaries have names that
/// nothing else has, and their owner holds a lock on them (flock) that ends with it. What is locked, or was made less
/// than a minute ago by a process that may still be taking its lock, stays. Returns how many were removed.
std::size_t remove_stale_temporaries(const fs::path& final_path) noexcept;

/// Whole file; kMalformed when it is larger than `cap`.
Result<Bytes> read_file(const fs::path& path, std::uint64_t cap = 256u << 20);
Result<std::string> read_text_file(const fs::path& path, std::uint64_t cap = 256u << 20);
Status write_file_atomic(const fs::path& path, std::span<const std::byte> data);
Status fsync_directory(const fs::path& dir);
/// fsync of every file and folder below it, and of itself.
Status sync_folder(const fs::path& dir);
/// Bytes a normal user may still write at `path`'s file system.
Result<std::uint64_t> free_bytes(const fs::path& path);

/// A relative path from a file that may be hostile: UTF-8, '/' separators, no empty, '.' or '..' part, no leading or
/// trailing '/', no '\\', NUL or control character, no Windows device name or drive, at most 1024 bytes (OMS 6.1.2).
Status check_relative_path(std::string_view path);
bool is_valid_utf8(std::string_view s);

}  // namespace tenpak

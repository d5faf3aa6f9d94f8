// SPDX-License-Identifier: Apache-2.0
// A folder being filled that outlives kill -9, so that the next run goes on: ".NAME.tenpak-partial" beside the final one,
// with what it is to become (state) and the files so far (files/). Its user checks what is in there before trusting it.
// Dropped without commit() (an error, a cancel) it vanishes; only a process that died leaves it.
#pragma once
#include "core/base/file.h"

namespace tenpak {

class PartialDirectory {
   public:
    /// What an interrupted run leaves for this final path.
    static fs::path name_for(const fs::path& final_path);
    /// Goes on with what is there where `identity` is the same, else begins anew. Refuses (kInvalidArgument) a final path that
    /// exists and is not an empty folder, and (kPermission) one that another process is filling.
    static Result<PartialDirectory> open(const fs::path& final_path, std::string_view identity);
    PartialDirectory(PartialDirectory&& o) noexcept;
    PartialDirectory& operator=(PartialDirectory&&) = delete;
    ~PartialDirectory();

    fs::path files() const { return path_ / "files"; }   ///< write into this one
    bool resumed() const { return resumed_; }
    std::uint64_t bytes_there() const { return bytes_there_; }  ///< on disk already, of an interrupted run
    Status commit();                                     ///< fsync of every file and folder, rename, fsync of the parent

   private:
    PartialDirectory() = default;
    int fd_ = -1;  ///< holds the lock
    bool resumed_ = false;
    std::uint64_t bytes_there_ = 0;
    fs::path final_, path_;
};

/// A file in it: written at any place, in any order, by several threads.
class PartialFile {
   public:
    static Result<PartialFile> open(const fs::path& path);
    PartialFile(PartialFile&& o) noexcept;
    PartialFile& operator=(PartialFile&& o) noexcept;
    ~PartialFile();
    /// Bytes that an interrupted run left; false where it left fewer.
    bool read_earlier(std::uint64_t offset, std::span<std::byte> out) const;
    Status write_at(std::uint64_t offset, std::span<const std::byte> data) const;
    Status finish(std::uint64_t size, bool executable);  ///< cuts off what is too much

   private:
    PartialFile() = default;
    int fd_ = -1;
    std::uint64_t earlier_ = 0;
    fs::path path_;
};

}  // namespace tenpak

// SPDX-License-Identifier: Apache-2.0
// The journal of a home folder: an append-only file of JSON lines, each with a checksum and on disk (fsync) before the
// step that it announces is taken. Why not SQLite: one file, readable without this program, no second file (WAL) that can
// be lost from beside it, and a torn last line is the only damage that a crash can do. Format: README.md.
#pragma once
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "core/archive/tree.h"

namespace tenpak::archive {

inline constexpr const char* kJournalName = ".tenpak-archive.jsonl";

/// How far a model has come. Order matters: later ones include what is before them.
enum class State {
    kBegun,      ///< may have temporaries; the original is in place
    kStored,     ///< the artifact is on disk and was compared; the original is in place
    kReplacing,  ///< the original may have been renamed to the trash name
    kRemoving,   ///< the artifact was read back and compared again; the trash may be gone in part
    kReplaced,   ///< the original is gone
    kUndoing,    ///< a rebuilt copy may lie under the restore name
    kRestored,   ///< the original is back in place; the artifact may be there still
    kClosed,     ///< undone or given up: nothing of it is left
};

struct Entry {
    std::string id;                      ///< 16 hexadecimal digits; part of the names of everything temporary
    State state = State::kBegun;
    State before_undo = State::kStored;  ///< for kUndoing: what it was
    fs::path original, artifact, base;   ///< absolute
    std::string base_sha256;             ///< over the per-tensor hashes that the artifact records
    std::string manifest_sha256;         ///< of the artifact: tells it from another one of the same name
    std::uint64_t stored_bytes = 0, freed_bytes = 0;
    Tree tree;                           ///< from kStored on

    bool live() const { return state >= State::kStored && state < State::kRestored; }
    fs::path trash() const;    ///< beside the original
    fs::path restore() const;  ///< beside the original
};

/// A journal open for writing holds a lock: kPermission where another process has it.
class Journal {
   public:
    /// Opens or creates. A torn last line is cut off; damage elsewhere is kMalformed. `home` is an absolute folder.
    static Result<std::unique_ptr<Journal>> open(const fs::path& home);
    /// Reads without locking or writing; empty where there is none.
    static Result<std::map<std::string, Entry>> read(const fs::path& home);
    ~Journal();
    Journal(const Journal&) = delete;
    Journal& operator=(const Journal&) = delete;

    const fs::path& home() const { return home_; }
    const std::map<std::string, Entry>& entries() const { return entries_; }
    /// Appends the entry's state and what changed with it, fsyncs, and remembers it.
    Status record(const Entry& entry);

   private:
    Journal() = default;
    fs::path home_;
    int fd_ = -1;
    std::uint64_t end_ = 0;
    std::map<std::string, Entry> entries_;
};

std::string new_entry_id();

}  // namespace tenpak::archive

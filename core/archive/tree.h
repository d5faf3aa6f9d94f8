// SPDX-License-Identifier: Apache-2.0
// What a model is on disk, exactly: every file and folder with size, permissions, time and hash, so that it can be removed
// without touching anything else and come back as it was. Internal to core/archive.
#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "core/base/hash.h"
#include "core/base/job_context.h"
#include "core/base/json.h"
#include "core/tensor/model_source.h"

namespace tenpak::archive {

struct TreeFile {
    std::string path;             ///< relative to the model's folder, '/' separators; the file's own name for a single file
    std::uint64_t size = 0;
    std::uint32_t mode = 0;       ///< permission bits
    std::int64_t mtime_ns = 0;
    Digest sha256{};
    bool extra = false;           ///< not in the artifact (hidden files of download tools): `content` holds it
    Bytes content{};
    std::uint64_t device = 0, inode = 0, links = 1;  ///< as found now; not in the journal
    bool same_metadata(const TreeFile& o) const { return path == o.path && size == o.size && mode == o.mode && mtime_ns == o.mtime_ns; }
};
struct TreeFolder {
    std::string path;             ///< "" is the model's folder itself
    std::uint32_t mode = 0;
    std::int64_t mtime_ns = 0;
    bool operator==(const TreeFolder&) const = default;
};
struct Tree {
    bool complete = true;         ///< nothing in it but files and folders that can be recorded; not in the journal
    bool single_file = false;     ///< a lone .safetensors file: files has one entry, folders none
    std::vector<TreeFile> files;  ///< sorted by path
    std::vector<TreeFolder> folders;
    std::uint64_t bytes() const;
    bool same_metadata(const Tree& o) const;
};

/// Hidden files up to this many bytes together are kept in the journal; more keeps a model from being replaced.
inline constexpr std::uint64_t kMaxExtraBytes = 256u << 10;

/// Lists without hashing. `blocker` says why the model could not be removed and put back, or is left empty: symbolic
/// links, files that the artifact does not hold, other owners. `extra` files come with content, or not at all where they
/// are too large together.
Result<Tree> list_tree(const fs::path& model, std::string& blocker);
/// SHA-256 of every file, read anew from disk as far as the system allows (cached pages are dropped first).
Status hash_tree(const fs::path& model, Tree& tree, const char* phase, const JobContext& ctx);
/// SHA-256 and size of a file, read as above.
Result<Digest> hash_fresh(const fs::path& file, std::uint64_t& size, const JobContext& ctx);

/// Gives a rebuilt model the extra files, empty folders, permissions and times of `tree`, and writes all to disk.
Status restore_metadata(const fs::path& model, const Tree& tree);
/// Removes exactly the files and folders of `tree`; those that are gone already are none the worse. Refuses (kMismatch,
/// nothing removed) where something else is in there, or a file is another than recorded.
Status remove_tree(const fs::path& model, const Tree& tree, const std::function<void(const char*)>& on_step);
/// Removes a folder that this program made, whatever is in it; symbolic links are not followed.
Status remove_own_folder(const fs::path& folder);
/// rename(2) that never replaces, and fsync of the folder. kMismatch where `to` exists.
Status rename_new(const fs::path& from, const fs::path& to);

Json tree_to_json(const Tree& tree);
Result<Tree> tree_from_json(const Json& j, const std::string& where);

}  // namespace tenpak::archive

// SPDX-License-Identifier: Apache-2.0
#include <map>
#include <tuple>

#include "core/artifact/artifact.h"

namespace tenpak {

ArtifactDiff diff(const Artifact& a, const Artifact& b) {
    ArtifactDiff d;
    std::map<std::string_view, const FileRecord*> files_b;
    for (const FileRecord& f : b.files()) files_b.emplace(f.path, &f);
    for (const FileRecord& f : a.files()) {
        const auto it = files_b.find(f.path);
        if (it == files_b.end()) d.only_a.push_back(f.path);
        else if (it->second->sha256 != f.sha256 || it->second->executable != f.executable) d.changed.push_back(f.path);
        if (it != files_b.end()) files_b.erase(it);
    }
    for (const auto& [path, file] : files_b) d.only_b.emplace_back(path);
    d.same_content = d.only_a.empty() && d.only_b.empty() && d.changed.empty();

    // Blocks are shared where the stored bytes are: that is what a chunk store or a registry keeps once.
    std::map<Digest, std::uint64_t> stored_b;
    for (const BlockInfo& i : b.blocks()) stored_b.emplace(i.stored_sha256, i.stored_size);
    std::map<Digest, std::uint64_t> stored_a;
    for (const BlockInfo& i : a.blocks()) stored_a.emplace(i.stored_sha256, i.stored_size);
    for (const auto& [digest, size] : stored_a) {
        if (stored_b.erase(digest) > 0) {
            ++d.shared_blocks;
            d.shared_bytes += size;
        } else {
            d.only_a_bytes += size;
        }
    }
    for (const auto& [digest, size] : stored_b) d.only_b_bytes += size;
    return d;
}

}  // namespace tenpak

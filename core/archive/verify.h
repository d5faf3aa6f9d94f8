// SPDX-License-Identifier: Apache-2.0
// Whether an artifact gives a model back, bit by bit. Internal to core/archive.
#pragma once
#include <memory>

#include "core/archive/journal.h"
#include "core/artifact/artifact.h"

namespace tenpak::archive {

/// Whether the artifact holds exactly the tree's files (extras apart), by size and SHA-256: kMismatch names the first that differs.
Status holds_tree(const BlockSource& artifact, const Tree& tree);
/// SHA-256 (hex) over the base's hashes that the artifact records.
std::string base_fingerprint(const Artifact& artifact);
std::string manifest_fingerprint(const Artifact& artifact);
/// The base of an entry; kWrongBase where it is gone.
Result<std::shared_ptr<const ModelSource>> open_base(const fs::path& base);
/// The artifact of an entry as it is on disk now: the recorded one (kIntegrity), whole, of this base, every file decoded
/// and hashed and as recorded in the entry's tree. Pages of the artifact are dropped from memory first.
Result<std::shared_ptr<const Artifact>> verify_entry(const Entry& entry, unsigned threads, const JobContext& ctx);

}  // namespace tenpak::archive

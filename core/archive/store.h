// SPDX-License-Identifier: Apache-2.0
// The steps of archiving one model. Each may be interrupted anywhere; finish_interrupted() makes of every entry one that is
// stored, replaced or closed. Internal to core/archive.
#pragma once
#include "core/archive/archive.h"
#include "core/archive/journal.h"

namespace tenpak::archive {

/// Compresses, rebuilds, compares with the original read anew, and records it as stored. Returns the entry.
Result<Entry> store_model(const PlannedDelta& delta, Journal& journal, const Options& options, const JobContext& ctx);
/// Removes the original of a stored entry: renamed, artifact read back and compared, then removed. Bytes freed.
/// `needed`: whether a model serves as a base for a live entry (then kInvalidArgument).
Status replace_original(Entry entry, Journal& journal, bool needed, const Options& options, const JobContext& ctx);
/// What an interrupted run left of an entry: goes on with it, or takes it back where that is safe.
Status finish_interrupted(Entry entry, Journal& journal, const Options& options, const JobContext& ctx);
/// Undoes one entry whole. Bytes restored (0 where the original was in place).
Result<std::uint64_t> undo_entry(Entry entry, Journal& journal, const Options& options, const JobContext& ctx);
/// Renames the trash of an interrupted replacement back, where nothing of it was removed yet.
Status take_back(Entry& entry, Journal& journal, const Options& options);

inline void step(const Options& options, const char* name) {
    if (options.on_step) options.on_step(name);
}
bool is_there(const fs::path& p);  ///< links are not followed

}  // namespace tenpak::archive

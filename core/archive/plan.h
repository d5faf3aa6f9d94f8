// SPDX-License-Identifier: Apache-2.0
// Planning, with what journals know. Internal to core/archive.
#pragma once
#include <map>
#include <vector>

#include "core/archive/archive.h"
#include "core/archive/journal.h"

namespace tenpak::archive {

/// The named folders, absolute; kNotFound for one that is not there, unless a journal beside it knows of it (it was archived).
Result<std::vector<fs::path>> resolve_folders(const Options& options);
/// Folders that may hold a journal for these: the store, or the folders themselves and their parents.
std::vector<fs::path> homes_of(const std::vector<fs::path>& folders, const fs::path& store);
/// Whether the entry is of a model under one of the folders.
bool in_scope(const Entry& entry, const std::vector<fs::path>& folders);

Result<Plan> plan_models(const std::vector<fs::path>& folders, const Options& options, const JobContext& ctx);

}  // namespace tenpak::archive

// SPDX-License-Identifier: Apache-2.0
// The folders that have a journal, one path a line, in a file of the user's: a base that an archive elsewhere needs must be
// known before it is archived itself. A missing or unreadable line costs that protection for one folder, no data here.
// Internal to core/archive.
#pragma once
#include <vector>

#include "core/base/file.h"

namespace tenpak::archive {

/// Empty where the file is missing. Folders that are gone are left out.
std::vector<fs::path> known_homes(const fs::path& file);
/// Adds a line where it is not there yet.
Status remember_home(const fs::path& file, const fs::path& home);

}  // namespace tenpak::archive

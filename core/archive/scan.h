// SPDX-License-Identifier: Apache-2.0
// Finding models under folders. Links to folders are not entered, hidden folders are left out. Internal to core/archive.
#pragma once
#include <vector>

#include "core/archive/archive.h"

namespace tenpak::archive {

struct Candidate {
    fs::path path;  ///< absolute
    fs::path root;  ///< the named folder that it was found under
    bool holds_models = false;  ///< other models lie in folders inside it
};
struct Scan {
    std::vector<Candidate> models;
    std::vector<fs::path> artifacts;  ///< .tnpk files and folders
};
/// `folders` are absolute and canonical. A folder is a model where it has config.json, an index, model.safetensors or only
/// shards; other .safetensors files are models of their own.
Result<Scan> scan(const std::vector<fs::path>& folders, const JobContext& ctx);

}  // namespace tenpak::archive

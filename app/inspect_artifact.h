// SPDX-License-Identifier: GPL-3.0-or-later
// What the Artifacts page says of an artifact before anything is checked, and whether a found base is the recorded one.
// Worker thread; no Qt objects kept.
#pragma once
#include <memory>

#include "app/view_states.h"
#include "core/artifact/artifact.h"

namespace tenpak::app {

/// Everything that the manifest alone says; the four answers stand at "not checked".
ArtifactDetails describeArtifact(const Artifact& artifact);
/// True where blocks predict from a base.
bool needsBase(const Artifact& artifact);

struct BaseAnswer {
    bool same = false;
    std::string recorded, found;  ///< fingerprints of all recorded tensors together, hex
    std::string problem;          ///< first difference, one sentence
};
/// Hashes the base's recorded tensors (through the cache of unchanged files).
Result<BaseAnswer> checkBase(const Artifact& artifact, const ModelSource& base, const JobContext& ctx);

}  // namespace tenpak::app

// SPDX-License-Identifier: Apache-2.0
#include "core/delta/container_cost.h"

namespace tenpak::delta {

namespace {

constexpr std::uint64_t kHeaderBytes = 128;
constexpr std::uint64_t kFrameBytes = 270;      ///< keys, attestation, creation date
constexpr std::uint64_t kFileEntryBytes = 48;   ///< a hash, a path, a size
constexpr double kChunkNumberBytes = 1.2;       ///< in a file's list

}  // namespace

std::uint64_t container_frame_bytes(const BlockPlan& plan, const ModelDirectory& model, const ModelSource* base) {
    std::uint64_t n = kHeaderBytes + kFrameBytes + model.id().size() + (base != nullptr ? base->id().size() : 0);
    for (std::size_t f = 0; f < model.files().size(); ++f)
        n += kFileEntryBytes + static_cast<std::uint64_t>(kChunkNumberBytes * static_cast<double>(plan.of_file[f].size()));
    return n;
}

}  // namespace tenpak::delta

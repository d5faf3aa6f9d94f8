// SPDX-License-Identifier: Apache-2.0
// What a container adds to the blocks' bytes, for the estimate: the engine cannot ask core/artifact, which lies above it.
// The rule (one canonical JSON object a block, a file and a base tensor, zstd over all) is that of core/artifact/FORMAT.md; a test
// compares it with artifacts that were really written.
#pragma once
#include <cstdint>

#include "core/delta/block_plan.h"

namespace tenpak::delta {

/// One block's entry: two hashes and a checksum, which do not compress, a name and numbers, which do.
inline constexpr double kBlockEntryBytes = 90;
/// The same of an "identical" block, whose stored bytes are none.
inline constexpr double kIdenticalEntryBytes = 50;
/// One base tensor's entry, and what it costs more where a block has several.
inline constexpr double kBaseEntryBytes = 36, kRangeEntryBytes = 9;
/// By how much entries may differ from that, relatively: longer names, hashes that repeat.
inline constexpr double kEntrySlack = 0.25;
/// Header, manifest frame and file entries: all but blocks and base tensors, for an unsigned single file.
std::uint64_t container_frame_bytes(const BlockPlan& plan, const ModelDirectory& model, const ModelSource* base);
/// By how much the frame may be off (creation date, digits).
inline constexpr std::uint64_t kFrameSlack = 160;

}  // namespace tenpak::delta

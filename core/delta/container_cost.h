// SPDX-License-Identifier: Apache-2.0
// What a container adds to the blocks' bytes, for the estimate: the engine cannot ask core/artifact, which lies above it.
// The rule (one canonical JSON object a block, a file and a base tensor) is that of core/artifact/FORMAT.md; a test
// compares it with artifacts that were really written.
#pragma once
#include <cstdint>
#include <string_view>

#include "core/delta/block_plan.h"

namespace tenpak::delta {

/// Bytes of one block's entry: names and numbers as they will stand there, `stored` being its (estimated) size.
std::uint64_t block_entry_bytes(const PlannedBlock& block, std::string_view codec, std::uint64_t stored, std::uint64_t offset, bool with_base);
/// One base tensor's entry.
std::uint64_t base_entry_bytes(std::string_view tensor);
/// Header, manifest frame and file entries: all but blocks and base tensors, for an unsigned single file.
std::uint64_t container_frame_bytes(const BlockPlan& plan, const ModelDirectory& model, const ModelSource* base);
/// By how much the frame may be off (creation date, digits).
inline constexpr std::uint64_t kFrameSlack = 160;

}  // namespace tenpak::delta

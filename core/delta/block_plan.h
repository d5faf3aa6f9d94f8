// SPDX-License-Identifier: Apache-2.0
// How a model is cut into blocks: estimate and compress work on the same plan, so that what was estimated is stored.
#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "core/delta/pair.h"

namespace tenpak::delta {

/// Bytes outside tensors (headers, side files) are cut at this size: what zstd does to one block cannot be stopped.
inline constexpr std::uint64_t kSideBlockBytes = 1u << 20;

/// One block before it is read: a piece of a file that lies in one tensor or in none.
struct PlannedBlock {
    std::string name;                       ///< "model.norm.weight#0", "config.json#0"
    std::uint32_t file = 0;                 ///< index into the model's files()
    std::uint64_t file_offset = 0, size = 0;
    DType dtype = DType::kU8;
    std::optional<std::uint32_t> tensor;    ///< index into the model's tensors()
    std::uint64_t tensor_offset = 0;        ///< bytes from the tensor's begin
    std::optional<std::uint32_t> base;      ///< index into the base's tensors(): the block predicts from its same range
};

struct BlockPlan {
    std::vector<PlannedBlock> blocks;                   ///< in storage order: layer_order, then headers and side files
    std::vector<std::vector<std::uint32_t>> of_file;    ///< [file] -> blocks in the order of the file
    std::uint64_t raw_bytes = 0;
};

/// `pairs` may be null: nothing has a base. kUnsupported for tensors whose elements do not fill bytes.
Result<BlockPlan> plan_blocks(const ModelDirectory& model, const PairPlan* pairs, std::uint64_t block_weights);
/// Bytes of a block.
Status read_block(const ModelDirectory& model, const PlannedBlock& block, Bytes& out);

}  // namespace tenpak::delta

// SPDX-License-Identifier: Apache-2.0
// How a model is cut into blocks: estimate and compress work on the same plan, so that what was estimated is stored.
#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/block_stream.h"
#include "core/delta/pair.h"

namespace tenpak::delta {

/// Bytes outside tensors (headers, side files) are cut at this size: what zstd does to one block cannot be stopped.
inline constexpr std::uint64_t kSideBlockBytes = 1u << 20;

/// Tensors smaller than this are stored several to a block: each block has hashes, and tables of its own.
inline constexpr std::uint64_t kSmallTensorBytes = 64u << 10;

/// The part of a tensor that a block holds.
struct BlockPiece {
    std::uint32_t tensor = 0;      ///< index into the model's tensors()
    std::uint64_t offset = 0;      ///< bytes from the tensor's begin
    std::uint64_t size = 0;        ///< bytes
};

/// One block before it is read: a piece of a file, of one tensor, of several small ones or of none.
struct PlannedBlock {
    std::string name;                       ///< "model.norm.weight#0", "model.0.bias+3#0" (it and the next three), "config.json#0"
    std::uint32_t file = 0;                 ///< index into the model's files()
    std::uint64_t file_offset = 0, size = 0;
    DType dtype = DType::kU8;
    std::vector<BlockPiece> pieces;         ///< in the order of the file; empty outside tensors
    std::vector<BaseRange> base;            ///< what it may be predicted from
    std::string transform;                  ///< of the base's bytes (transform.h)

    bool in_tensor() const { return !pieces.empty(); }
    std::uint32_t first_tensor() const { return pieces.front().tensor; }
};

struct BlockPlan {
    std::vector<PlannedBlock> blocks;                   ///< in storage order: layer_order, then headers and side files
    std::vector<std::vector<std::uint32_t>> of_file;    ///< [file] -> blocks in the order of the file
    std::uint64_t raw_bytes = 0;
};

/// Whose bytes a block holds, read from its name: "x#0" one tensor or file, "x+3#0" x and the three small tensors behind it in
/// the file, "x#factors" the low-rank term of x. A tensor may itself be named "x+3": whoever has the model looks there first.
struct BlockOwner {
    std::string_view name;    ///< of the first tensor, or of the file
    std::uint32_t more = 0;   ///< tensors behind it that share the block
    bool factors = false;
};
BlockOwner block_owner(std::string_view block_name);

/// `base` and `pairs` may be null: nothing is predicted. kUnsupported for tensors whose elements do not fill bytes.
Result<BlockPlan> plan_blocks(const ModelDirectory& model, const ModelSource* base, const PairPlan* pairs, std::uint64_t block_weights);
/// What of a block's `stored` bytes counts for its piece: by length; the shares add up.
std::uint64_t share_of(const PlannedBlock& block, std::size_t piece, std::uint64_t stored);
/// Bytes of a block.
Status read_block(const ModelDirectory& model, const PlannedBlock& block, Bytes& out);

}  // namespace tenpak::delta

// SPDX-License-Identifier: Apache-2.0
// Rebuilding files, tensors or whole models from blocks and (for a delta) the base.
#pragma once
#include <cstdint>
#include <memory>
#include <string>

#include "core/base/block_stream.h"
#include "core/base/job_context.h"
#include "core/delta/predict.h"
#include "core/tensor/model_source.h"

namespace tenpak::delta {

/// How much is checked beyond the stored hash and the XXH3 of every block, which always are.
enum class Verify { kStored, kFull };

struct ReconstructOptions {
    unsigned threads = 0;
    Verify verify = Verify::kStored;
    bool verify_base = false;  ///< hash the base even where a cached hash of the unchanged file exists
};

struct ReconstructReport {
    std::uint64_t bytes_written = 0, files = 0;
    std::uint64_t resumed_bytes = 0;  ///< of bytes_written: left by a run that was killed, and found right by their XXH3
    double seconds = 0;
    std::string verified;  ///< "stored" or "full"
};

/// Checks that `base` is the one recorded: per-tensor SHA-256, through the cache of base_cache.h.
/// kWrongBase names the first tensor that differs and both fingerprints; kInvalidArgument if a base is needed and absent.
Status check_base(const BlockSource& blocks, const ModelSource* base, bool verify_base, const JobContext& ctx);

/// Writes every file into a new folder `out`: nothing is left behind on failure or cancel. After kill -9 an unfinished
/// folder stays (PartialDirectory), and the next call with the same artifact and `out` goes on from its blocks.
Result<ReconstructReport> reconstruct(const BlockSource& blocks, const ModelSource* base, const fs::path& out,
                                      const ReconstructOptions& options, const JobContext& ctx);
/// Decodes everything and compares SHA-256 of every file with the record, writing nothing.
Result<ReconstructReport> verify_rebuild(const BlockSource& blocks, const ModelSource* base, const ReconstructOptions& options,
                                         const JobContext& ctx);
/// Memory of a decode, for the next one.
struct BlockScratch {
    Predicted predicted;
};
/// One decoded block. `raw` keeps its capacity.
Status decode_block(const BlockSource& blocks, BlockId id, const ModelSource* base, BlockScratch& scratch, Bytes& raw);
Result<Bytes> decode_block(const BlockSource& blocks, BlockId id, const ModelSource* base);

/// The blocks of a model as a ModelSource: tensors are decoded when read, nothing is written. `base` may be null where
/// the blocks need none. Keeps the last decoded blocks in memory (bounded).
Result<std::shared_ptr<const ModelSource>> open_blocks_as_model(std::shared_ptr<const BlockSource> blocks,
                                                                std::shared_ptr<const ModelSource> base, std::string id);

}  // namespace tenpak::delta

// SPDX-License-Identifier: Apache-2.0
// Storing a fine-tune as its difference from a base, block by block, bit-exactly.
#pragma once
#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "core/base/block_stream.h"
#include "core/base/job_context.h"
#include "core/delta/lossy.h"
#include "core/delta/pair.h"
#include "core/delta/tensor_factors.h"

namespace tenpak::delta {

struct CompressOptions {
    unsigned threads = 0;                 ///< 0: usable_cpus()
    std::uint64_t block_weights = 1 << 20;///< weights in a block: random access and parallel grain
    std::string base_revision{};          ///< hub commit where known
    LossyOptions lossy{};                 ///< of compress(): lossless unless told otherwise
    bool recover_low_rank = true;         ///< look for merged adapters
    const FactorMap* given_factors = nullptr;  ///< of an adapter that is replayed: nothing is looked for then
};

struct TensorReport {
    std::string name, method;  ///< method: that of most of its bytes (method_of)
    std::uint64_t raw_bytes = 0, stored_bytes = 0, weights = 0;
    double changed_fraction = 0;
    int layer = -1;
    std::string projection;
    std::uint32_t rank = 0;          ///< of the low-rank term; 0: none
    std::string base_tensor, how;  ///< predictor and why it was chosen (pair.h); empty where it is the tensor of the same name, type and shape
    ErrorSums error{};               ///< lossy modes: what the tensor lost. Zero where it is lossless
    std::optional<LossyChoice> choice{};  ///< lossy modes: why it is stored so
};

struct CompressReport {
    std::uint64_t raw_bytes = 0;     ///< all files of the fine-tune
    std::uint64_t stored_bytes = 0;  ///< all block bytes (the container adds its manifest)
    std::uint64_t weights = 0;
    std::map<std::string, std::uint64_t> methods;  ///< method_of -> stored bytes
    std::vector<TensorReport> tensors;
    std::shared_ptr<const FactorMap> factors;      ///< by tensor of the fine-tune: what was recovered or given
    bool lossless = true;            ///< every file rebuilds bit by bit; in a lossy mode, too, where nothing had to be lost
    ErrorSums error{};               ///< over all predicted tensors; all zero in lossless mode
    double seconds = 0;
};

/// Writes all blocks (embeddings, layers 0..n, norm, head, side files last), file records and the model record to `sink`.
/// Each block is decoded again and compared before it is given to the sink. Memory is bounded by threads x block size.
/// In a lossy mode the records are of the model that the blocks rebuild: it is read twice, once more for the files' hashes.
/// Errors: kMismatch (pair does not fit), kIo, kNoSpace, kCancelled.
Result<CompressReport> compress(const ModelSource& base, const ModelDirectory& fine_tune, BlockSink& sink,
                                const CompressOptions& options, const JobContext& ctx);

/// The same without a base ("standalone", zstd or raw per block): what `artifact pack` does.
Result<CompressReport> pack(const ModelDirectory& model, BlockSink& sink, const CompressOptions& options, const JobContext& ctx);

}  // namespace tenpak::delta

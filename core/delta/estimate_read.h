// SPDX-License-Identifier: Apache-2.0
// The reading half of the estimate: probes and whole blocks.
#pragma once
#include "core/base/job_context.h"
#include "core/delta/block_plan.h"
#include "core/delta/estimate_state.h"

namespace tenpak::delta {

/// Weights in a probe: kProbeSlices slices from random places of the tensor.
inline constexpr std::uint64_t kProbeWeights = 1u << 16;
inline constexpr unsigned kProbeSlices = 8;

struct KnownRead {
    KnownBlock block;
    std::vector<std::uint64_t> changed;  ///< [piece] elements that differ from the prediction
    bool predicted = false;     ///< stored with a codec that needs the base
    std::uint64_t content = 0;  ///< XXH3 of the decoded bytes: equal blocks without a base are stored once
};

/// Reads and encodes one block as compress does.
Result<KnownRead> read_known(const ModelSource& base, const ModelDirectory& model, const PlannedBlock& block);
/// All blocks of a tensor whose change looks like one of low rank: its factors are recovered as compress does it. In the order of `blocks`.
Result<std::vector<KnownRead>> read_low_rank(const ModelSource& base, const ModelDirectory& model, const TensorPair& pair, const std::vector<const PlannedBlock*>& blocks,
                                             const JobContext& ctx);
/// Slices of one tensor, chosen by `seed`. `block_weights` is the length of the tensor's blocks. All of the tensor is predicted, or none.
Result<Probe> read_probe(const ModelSource& base, const ModelDirectory& model, const TensorPair& pair, std::uint64_t block_weights, std::uint64_t seed,
                         const JobContext& ctx);
}  // namespace tenpak::delta

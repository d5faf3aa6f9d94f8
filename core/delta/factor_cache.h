// SPDX-License-Identifier: Apache-2.0
// Low-rank predictors of an artifact's tensors, decoded once for the many blocks of a tensor.
#pragma once
#include <memory>

#include "core/base/block_stream.h"
#include "core/delta/low_rank.h"

namespace tenpak::delta {

/// The predictor that a block of codec "factors" holds. Kept in memory by the hash of its decoded bytes, the last used
/// ones, some hundred megabytes over all artifacts of the process. Thread-safe. kMalformed, kIntegrity.
Result<std::shared_ptr<const LowRankPredictor>> predictor_of(const BlockSource& blocks, BlockId factors);

}  // namespace tenpak::delta

// SPDX-License-Identifier: Apache-2.0
// The change of a matrix reduced to a given rank: the truncated singular value decomposition, in integers.
#pragma once
#include <optional>

#include "core/base/job_context.h"
#include "core/delta/low_rank_recover.h"

namespace tenpak::delta {

/// No value where the matrices are equal, or the product has no integers of 16 bits.
/// The factors are rounded so that this adds at most about a tenth of the error that leaving out the other components makes,
/// and 3 % of the size of what is kept.
Result<std::optional<Factors>> truncate_to_rank(const MatrixPair& pair, std::uint32_t rank, unsigned threads, const JobContext& ctx);

}  // namespace tenpak::delta

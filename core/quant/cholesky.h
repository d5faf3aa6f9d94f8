// SPDX-License-Identifier: Apache-2.0
// Dense fp64 Cholesky and triangular inverse by blocks: in parallel, cancellable, the same bits for any number of threads.
#pragma once
#include <cstdint>
#include <vector>

#include "core/base/thread_pool.h"

namespace tenpak::quant {

/// a[k][k] row-major, symmetric (lower triangle read) -> L in the lower triangle, a = L L^T; the upper one is left as it
/// is. kNumeric when `a` is not positive definite.
Status cholesky(std::vector<double>& a, std::uint32_t k, ThreadPool& pool, const JobContext& ctx);
/// Inverse of the lower triangle of l[k][k]: lower triangular, zeros above.
Result<std::vector<double>> invert_lower(const std::vector<double>& l, std::uint32_t k, ThreadPool& pool, const JobContext& ctx);

}  // namespace tenpak::quant

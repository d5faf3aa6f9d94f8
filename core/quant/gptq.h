// SPDX-License-Identifier: Apache-2.0
// GPTQ (Frantar et al., arXiv 2210.17323) with GPTQModel's act-group-aware order (optimizer.md 1.4): columns are rounded
// one after the other and each one's error is spread over those that are still free, weighted by the inverse Hessian.
#pragma once
#include <span>
#include <vector>

#include "core/compute/linear_weight.h"
#include "core/quant/gram.h"
#include "core/quant/grid.h"

namespace tenpak::quant {

/// In which order columns are rounded.
enum class ColumnOrder : std::uint8_t {
    kStored,
    kByGroup,       ///< groups by their largest diag H, columns in a group by diag H, both falling: groups stay neighbours
    kByImportance,  ///< columns by falling diag H, a group is what comes one after the other (desc_act): needs a group index
};

struct GptqOptions {
    double damp = 0.05;       ///< of the mean of diag H, added to the diagonal
    double damp_step = 0.01;  ///< added to `damp` until the factorization succeeds, while below 1
    ColumnOrder order = ColumnOrder::kByGroup;
};

/// The inverse Hessian's factor, shared by all linears with the same input. Immutable.
struct GptqFactor {
    std::uint32_t k = 0;
    ColumnOrder order_kind = ColumnOrder::kStored;
    std::vector<std::uint32_t> order;  ///< [k]: column of W that is rounded at each step
    std::vector<float> u;              ///< [k][k] upper triangular in that order: (H + damping)^-1 = U^T U
    double damp = 0;                   ///< used
    std::uint32_t dead = 0;            ///< channels that the calibration text never excites
};

/// `group` matters for kByGroup only. kNumeric when no damping below 1 makes H positive definite.
Result<GptqFactor> factor_hessian(const Gram& gram, std::uint32_t group, const GptqOptions& options, ThreadPool& pool,
                                  const JobContext& ctx);
/// H is the identity: no error is spread, columns are rounded as they are.
GptqFactor identity_factor(std::uint32_t k);

/// w[n][k] -> kInt4Group (up to 4 bits) or kInt4Residual (6 bits). Columns of dead channels are simply rounded to nearest:
/// they neither take nor give error. With `clip`, each group's range is shrunk where that lowers its weighted rounding error.
Result<compute::LinearWeight> gptq(std::span<const float> w, std::uint32_t n, const GptqFactor& factor, const GroupFormat& format, bool clip,
                                   ThreadPool& pool, const JobContext& ctx);
/// w[n][k] -> kInt4Sparse: a quarter of each group, those that save the most weighted error, keeps 8 bits. `factor` must not be
/// of kByImportance; `group` is a multiple of 8.
Result<compute::LinearWeight> gptq_sparse(std::span<const float> w, std::uint32_t n, const GptqFactor& factor, std::uint32_t group, float min_scale,
                                          ThreadPool& pool, const JobContext& ctx);

}  // namespace tenpak::quant

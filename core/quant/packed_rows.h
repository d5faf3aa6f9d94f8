// SPDX-License-Identifier: Apache-2.0
// Empty grouped weights of the right sizes, and their rows from one code a weight.
#pragma once
#include <cstdint>
#include <vector>

#include "core/compute/linear_weight.h"
#include "core/quant/grid.h"
#include "core/quant/sparse_group.h"

namespace tenpak::quant {

/// kInt4Group for up to 4 bits, kInt4Residual for 6.
compute::LinearWeight make_grouped(std::uint32_t n, std::uint32_t k, const GroupFormat& format);
/// codes[k] in 0 .. 2^bits - 1, grids[k / group].
void set_grouped_row(compute::LinearWeight& weight, std::uint32_t row, const std::uint16_t* codes, const Grid* grids);

compute::LinearWeight make_sparse(std::uint32_t n, std::uint32_t k, std::uint32_t group);
/// codes[k] as SparseGroup::encode gives them: exactly a quarter of each group is kept.
void set_sparse_row(compute::LinearWeight& weight, std::uint32_t row, const std::uint16_t* codes, const std::vector<SparseGroup>& groups);

}  // namespace tenpak::quant

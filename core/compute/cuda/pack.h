// SPDX-License-Identifier: Apache-2.0
// A linear weight in the form that the CUDA module's kernels read (layout.h), made on the host.
#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "core/base/error.h"
#include "core/compute/cuda/commands.h"
#include "core/compute/linear_weight.h"

namespace tenpak::compute {

struct CudaWeight {
    /// Everything but the addresses.
    tenpak_cuda_weight shape{};
    std::vector<std::uint32_t> codes;  ///< tiles, or dense rows
    std::vector<std::uint16_t> scales;
    std::vector<std::uint8_t> zeros;  ///< empty: all 8 (residual: 32)
    std::vector<float> row_scales;
    std::vector<float> bias;
    std::vector<std::uint32_t> low;      ///< sparse: the low 4 bits of kept weights
    std::vector<std::uint32_t> columns;  ///< empty: input columns as they are
    std::string kernel;  ///< "int4 g128"

    std::uint64_t bytes() const;  ///< of all vectors
};

/// Every format stays packed. Groups become runs of neighbours (columns are sorted by group_index) of 32, 64, 128 … columns or whole rows:
/// a group of another size becomes several of these with the same scale, and where 32 does not divide it, gets columns that meet nothing.
/// Only where that would cost more than fp32 (groups of a few columns) the weight becomes fp32, and `kernel` says so. Scales are kept as
/// fp16 relative to the largest of their row: exact for scales of 8 to 11 significant bits, as those of all exported formats but nf4.
/// Errors: kMalformed (vectors that disagree), kOutOfMemory.
Result<CudaWeight> pack_for_cuda(const LinearWeight& weight);

}  // namespace tenpak::compute

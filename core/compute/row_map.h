// SPDX-License-Identifier: Apache-2.0
// Some rows of a linear weight: what a part of the graph takes from a weight that a checkpoint stores fused.
#pragma once
#include "core/compute/linear_weight.h"

namespace tenpak::compute {

/// Row i is row begin + i / block * stride + i % block of the stored weight: blocks of rows at equal distances.
struct RowMap {
    std::uint32_t begin = 0, count = 0, block = 0, stride = 0;

    static RowMap range(std::uint32_t begin, std::uint32_t count) { return {begin, count, count, count}; }
    std::uint32_t row(std::uint32_t i) const { return begin + i / block * stride + i % block; }
    std::uint32_t last() const { return row(count - 1); }
    bool whole(std::uint32_t rows) const { return begin == 0 && count == rows && (block == count || stride == block); }
};

/// The rows as a weight of their own, in the same format; rows.last() must be below weight.n.
LinearWeight take_rows(const LinearWeight& weight, const RowMap& rows);

}  // namespace tenpak::compute

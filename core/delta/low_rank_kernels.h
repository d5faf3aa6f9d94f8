// SPDX-License-Identifier: Apache-2.0
// What the vector kernels of the low-rank predictor work on.
#pragma once
#include <cstddef>
#include <cstdint>

#include "core/delta/float_layout.h"
#include "core/delta/low_rank.h"

namespace tenpak::delta {

/// A piece of one row. Components come in pairs, two 16-bit integers in one 32-bit word, the first one lower.
struct PredictJob {
    const std::int32_t* u = nullptr;  ///< [pairs] of this row
    const std::int32_t* v = nullptr;  ///< [pairs][stride], at the piece's first column; readable 64 words beyond it
    std::size_t stride = 0;
    std::uint32_t pairs = 0;
    /// Pairs whose products fit an int32 sum, whatever their values: sums of groups are added in binary64, which is
    /// exact.
    std::uint32_t group = 0;
    std::size_t columns = 0;
    const std::byte* base = nullptr;
    std::byte* predicted = nullptr;
    std::uint8_t* keys = nullptr;  ///< may be null
    double scale = 0;
    std::int32_t noise = 0;
    FloatKind kind = FloatKind::kBf16;
    MergeRounding merge = MergeRounding::kNone;
};

void predict_piece_plain(const PredictJob& job);
/// By the best kernel of this CPU.
void predict_piece(const PredictJob& job);

}  // namespace tenpak::delta

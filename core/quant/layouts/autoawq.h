// SPDX-License-Identifier: Apache-2.0
// AutoAWQ's "GEMM" files (optimizer.md 4.1).
#pragma once
#include "core/quant/layouts/layout_functions.h"

namespace tenpak::quant {

/// Bit of a word at which output `row` begins: the nibbles 0 to 7 of a word hold its outputs 0, 2, 4, 6, 1, 3, 5, 7.
constexpr unsigned awq_shift(std::size_t row) { return static_cast<unsigned>(row % 2 * 16 + row % 8 / 2 * 4); }

/// Outputs that are packed side by side: their words fill a cache line.
inline constexpr std::size_t kAwqRows = 128;

}  // namespace tenpak::quant

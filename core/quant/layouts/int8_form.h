// SPDX-License-Identifier: Apache-2.0
// INT4 with a residual and INT4 with a sparse part have no standard layout, but their values are whole multiples of the
// group's scale that fit 8 bits: an INT8 group weight represents them exactly.
#pragma once
#include <string>

#include "core/quant/quantize.h"

namespace tenpak::quant {

inline bool has_int8_form(compute::WeightFormat f) {
    return f == compute::WeightFormat::kInt4Residual || f == compute::WeightFormat::kInt4Sparse;
}
/// kInt8Group with the same group, scales and values. `w` is valid and of one of these formats.
compute::LinearWeight as_int8_group(const compute::LinearWeight& w);

/// What a user must know where linears are written in that form: how many, and what the file takes then. Empty: none is.
std::string int8_form_note(const QuantizedModel& model);

/// The code of a 4-bit weight at row-major index i.
inline unsigned nibble_at(const std::vector<std::uint8_t>& codes, std::size_t i) { return codes[i / 2] >> (i % 2 * 4) & 15u; }
/// Columns of a group: k where there is one a row.
inline std::uint32_t group_of(const compute::LinearWeight& w) { return w.group == 0 ? w.k : w.group; }

/// The group of each column when every group is cut into `repeat` equal ones, in column order; `w` has a group index.
std::vector<std::uint32_t> split_group_index(const compute::LinearWeight& w, std::uint32_t repeat);

}  // namespace tenpak::quant

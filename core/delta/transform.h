// SPDX-License-Identifier: Apache-2.0
// How weights of the base become the prediction of a block. The text form stands in manifests and fixes the result for
// ever, bit by bit, on every machine (FORMAT.md "Predictions"). F, T, C stand for BF16, F16 or F32:
//   ""                         the base's bytes as they are
//   "F>T"                      each weight rounded to the nearest, ties to even; a NaN becomes the quiet NaN of the same sign
//   "F*0x1.8p-1>T"             times a binary64 number, rounded once; NaN as above
//   "F>NF4/64>T"               quantized to NF4 in blocks of 64 and back (nf4.h)
//   "F>NF4/64/256+0x1.2p-4>T"  the same, the blocks' magnitudes quantized in turn, 256 at a time, after their mean is subtracted
//   "F>C>NF4…>T"               rounded to C before it is quantized
// There is one spelling for each; others are refused.
#pragma once
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "core/base/error.h"
#include "core/delta/nf4.h"
#include "core/tensor/dtype.h"

namespace tenpak::delta {

struct Transform {
    DType from = DType::kBF16, to = DType::kBF16;
    double scale = 1;                       ///< finite, not 0; 1 with nf4
    std::optional<DType> rounded = {};      ///< before nf4; another type than `from`
    std::optional<Nf4> nf4 = {};
    bool operator==(const Transform&) const = default;
    std::uint64_t bytes_from(std::uint64_t weights) const { return weights * dtype_bits(from) / 8; }
    std::uint64_t bytes_to(std::uint64_t weights) const { return weights * dtype_bits(to) / 8; }
    /// Blocks must begin at multiples of so many weights of the tensor. A power of two.
    std::uint64_t group() const { return nf4 ? nf4->group() : 1; }
};

/// BF16, F16 and F32.
bool can_transform(DType t);
std::string transform_text(const Transform& t);
/// kUnsupported for a text that this version does not know. `text` is not empty.
Result<Transform> parse_transform(std::string_view text);
/// `base` and `out` hold the same number of whole weights; `first_weight` is the index of the first one in its tensor.
/// kMalformed where the lengths do not fit, or the first weight does not begin a group.
Status apply_transform(const Transform& t, std::uint64_t first_weight, std::span<const std::byte> base, std::span<std::byte> out);
/// Weights as fp32 (exact) and back (rounded to nearest even). `t`: can_transform(t).
void load_floats(DType t, const std::byte* weights, std::size_t n, float* out);
void store_floats(DType t, const float* values, std::size_t n, std::byte* out);

}  // namespace tenpak::delta

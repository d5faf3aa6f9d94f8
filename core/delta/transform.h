// SPDX-License-Identifier: Apache-2.0
// How bytes of the base become the prediction of a block of another element type. The text form stands in manifests and
// fixes the result for ever, bit by bit, on every machine.
//   ""          the base's bytes as they are
//   "F32>BF16"  each weight rounded to the nearest, ties to even; a NaN becomes the quiet NaN of the same sign
#pragma once
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "core/base/error.h"
#include "core/tensor/dtype.h"

namespace tenpak::delta {

struct Transform {
    DType from = DType::kBF16, to = DType::kBF16;
    bool operator==(const Transform&) const = default;
    std::uint64_t bytes_from(std::uint64_t weights) const { return weights * dtype_bits(from) / 8; }
    std::uint64_t bytes_to(std::uint64_t weights) const { return weights * dtype_bits(to) / 8; }
};

std::string transform_text(const Transform& t);
/// kUnsupported for a text that this version does not know. `text` is not empty.
Result<Transform> parse_transform(std::string_view text);
/// `base` and `out` hold the same number of whole weights; `first_weight` is the index of the first one in its tensor.
/// kMalformed where the lengths do not fit.
Status apply_transform(const Transform& t, std::uint64_t first_weight, std::span<const std::byte> base, std::span<std::byte> out);

}  // namespace tenpak::delta

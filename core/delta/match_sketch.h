// SPDX-License-Identifier: Apache-2.0
// A few kilobytes of a tensor, from places that depend only on its length: enough to tell whether two tensors are versions
// of each other, and which of several predictions is nearest.
#pragma once
#include <cstdint>
#include <optional>
#include <vector>

#include "core/tensor/model_source.h"

namespace tenpak::delta {

/// Weights [first, first + count) of a tensor.
struct WeightSlice {
    std::uint64_t first = 0, count = 0;
};
/// `slices` pieces of `length` weights, spread evenly over [0, weights), each from a multiple of `align`; all of it where it is short.
std::vector<WeightSlice> spread_slices(std::uint64_t weights, unsigned slices, std::uint64_t length, std::uint64_t align);

/// The slices' weights one behind the other, as bytes. The element type has whole bytes.
Result<Bytes> read_slices(const ModelSource& model, const TensorInfo& tensor, const std::vector<WeightSlice>& slices);

/// 1,024 weights of a tensor's first `weights`, as numbers; NaN and infinity count as 0. Reads 2 to 4 kB.
struct Sketch {
    std::vector<float> values;
    std::vector<std::uint64_t> above;  ///< bit i: value i lies above the median
};
/// Nothing where the type is not one of can_transform(), or the tensor cannot be read.
std::optional<Sketch> sketch(const ModelSource& model, const TensorInfo& tensor, std::uint64_t weights);
/// Share of equal bits in `above`: .5 for strangers. Both are of equally many weights.
double agreement(const Sketch& a, const Sketch& b);
/// Pearson's, of the values; 0 where one of them does not vary.
double correlation(const Sketch& a, const Sketch& b);

/// Bits that the differences between prediction and weights have on average, in units of the last place: what a weight's
/// coded difference costs, without the cost of a symbol. `t`: can_transform(t). One value a weight is added to `each` if given.
double difference_bits(std::span<const std::byte> weights, std::span<const std::byte> prediction, DType t, std::vector<float>* each = nullptr);

}  // namespace tenpak::delta

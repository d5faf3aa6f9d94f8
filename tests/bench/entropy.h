// SPDX-License-Identifier: Apache-2.0
// What a fine-tune costs at least when each weight's change is coded given the base's exponent: the conditional entropy
// of the ordered integer difference, measured on the pair itself.
//
// plug_in: sum over tensors of the empirical entropy, one distribution an exponent. Every distribution is taken as
// known for free. It is biased low, by about (cells - 1) / 2 nats a context (Miller 1955), and for a tensor with fewer
// weights than cells it tends to zero whatever the source is: hundreds of tensors of 64 weights "cost nothing".
//
// estimate: what the same source costs, estimated without that bias:
//   * tensors of less than 65,536 weights are pooled by element type: one set of distributions for all of them, since
//   none of
//     them alone can tell what its distributions are. (A pooled distribution is a mixture: it can only cost more than
//     the single ones if those were known. The difference is what telling them apart would have to pay for.)
//   * Miller-Madow: (occupied cells - 1) / 2 nats are added for each context;
//   * where the differences are so many that even this is undersampled (fewer than 20 weights a cell), they are taken
//   in
//     buckets, exact below 32 and 16 an octave above, the place inside a bucket uniform: at most a hundredth of a bit a
//     weight too much for smooth distributions, where the cells themselves would be many bits too low (fp32: every
//     weight its own cell).
#pragma once
#include <span>
#include <vector>

#include "core/tensor/dtype.h"

namespace tenpak::bench {

struct EntropyInput {
    std::span<const std::byte> fine, base;  ///< same size and type; types that are no floats count as raw
    DType type = DType::kBF16;
};
struct Entropy {
    double plug_in = 0, estimate = 0;  ///< bytes
};
Entropy conditional_entropy(const std::vector<EntropyInput>& tensors);

}  // namespace tenpak::bench

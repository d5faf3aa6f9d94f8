// SPDX-License-Identifier: Apache-2.0
// Recovers the adapter of a merged LoRA fine-tune from base and fine-tune alone. The difference of both is a matrix of
// low rank plus the rounding of each weight; weights with small exponents are rounded finely and tell most about it, so
// the factors come from alternating weighted least squares over those, started by randomised subspace iteration (Halko,
// Martinsson, Tropp 2011), and are then rounded to integers at the precision that makes the whole smallest.
#pragma once
#include <cstdint>
#include <functional>
#include <optional>

#include "core/base/error.h"
#include "core/base/job_context.h"
#include "core/delta/low_rank.h"
#include "core/tensor/model_source.h"

namespace tenpak::delta {

/// A tensor of the fine-tune and what predicts it, as a matrix (shape[0], rest). `read` fills both with the same range
/// of bytes, in the fine-tune's type, and is thread-safe.
struct MatrixPair {
    std::uint32_t rows = 0, columns = 0;
    FloatKind kind = FloatKind::kBf16;
    std::function<Status(std::uint64_t byte_offset, std::span<std::byte> base, std::span<std::byte> fine_tune)> read;
};
/// No value where the two are not float tensors of the same type and shape with at least two dimensions.
std::optional<MatrixPair> matrix_pair(const ModelSource& base, const TensorInfo& base_tensor,
                                      const ModelSource& fine_tune, const TensorInfo& tensor);

/// What a piece of the matrix says (about 0.1 MB read; 0.5 MB of larger matrices that look like full fine-tunes).
struct LowRankScreen {
    std::uint32_t rank = 0;  ///< 0: not of low rank above the noise of rounding
    double changed_fraction = 0;
    double stored_bits = 0, low_bits = 0,
           high_bits = 0;  ///< factors and residual of the whole tensor if it is stored so
};
Result<LowRankScreen> screen_low_rank(const MatrixPair& pair, const JobContext& ctx);

struct RecoverOptions {
    unsigned threads = 0;  ///< 0: usable_cpus()
    std::uint32_t max_rank = 256;
    std::uint32_t expected_rank = 0;  ///< of a screen; 0: found here
};
struct Recovered {
    Factors factors;
    double factor_bits = 0, residual_bits = 0;  ///< expected stored bits of each, whole tensor
    double difference_bits = 0;                 ///< what the plain difference would cost, about
    double residual_fraction = 0;               ///< weights that the prediction misses
};
/// No value where the difference is not of low rank, or where storing it so would not be smaller.
Result<std::optional<Recovered>> recover_low_rank(const MatrixPair& pair, const RecoverOptions& options,
                                                  const JobContext& ctx);

}  // namespace tenpak::delta

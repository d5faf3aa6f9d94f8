// SPDX-License-Identifier: Apache-2.0
// The lossy modes: what a tensor of a fine-tune is replaced by so that it takes fewer bytes, and what that loses. A lossy
// artifact is an exact artifact of the model that it rebuilds: all hashes are of that model.
#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/job_context.h"
#include "core/delta/block_plan.h"
#include "core/delta/lossy_quantize.h"
#include "core/delta/tensor_factors.h"

namespace tenpak::delta {

enum class LossyMode { kLossless, kInt8, kInt4, kBit1, kLowRank };
/// "lossless", "int8", "int4", "bit1", "lowrank".
std::string_view lossy_mode_name(LossyMode mode);
std::optional<LossyMode> lossy_mode_from_name(std::string_view name);

struct LossyOptions {
    LossyMode mode = LossyMode::kLossless;
    std::uint32_t rank = 16;  ///< of kLowRank
};

/// One way to store a tensor, measured on a sample of it.
struct LossyCandidate {
    std::string codec;            ///< of lossy_codecs.h, or "lossless" for the best of the others
    double bits_per_weight = 0;
    double change_error = 0;      ///< Frobenius norm of the error over that of the fine-tune's change
    double step = 0, threshold = 0;  ///< absolute: distance of the levels, and the size below which a change is dropped
    double cost = 0;              ///< change_error^2 + lambda x bits_per_weight: the smallest is taken
};

/// LossyChoice::codec of a tensor that becomes its prediction with factors.
inline constexpr std::string_view kLowRankMethod = "lowrank";

/// What is done to a tensor. `codec` empty: it stays lossless, and `why` says why.
struct LossyChoice {
    std::string codec, why;
    Quantizer quantizer;
    double lambda = 0;            ///< 0: there was nothing to weigh (bit1, lowrank)
    std::vector<LossyCandidate> considered;
};

/// Rate-distortion weights: an error of `change_error` costs its square, a bit per weight costs lambda. At high rates the
/// error halves with each bit, so the optimum lies where change_error^2 = lambda / (2 ln 2).
double lambda_of(LossyMode mode);

/// Factors of the given rank for the matrices that mode lowrank replaces.
Result<FactorMap> truncate_factors(const ModelSource& base, const ModelDirectory& model, const PairPlan& pairs, std::uint32_t rank, unsigned threads, const JobContext& ctx);
/// The choice for each tensor of `model`, from samples of at most two blocks a tensor. Deterministic. `factors`: of mode lowrank those
/// that are to be used; of other modes recovered ones, which may be the cheapest lossless way.
Result<std::vector<LossyChoice>> choose_lossy(const ModelSource& base, const ModelDirectory& model, const BlockPlan& plan, const LossyOptions& options,
                                              const FactorMap& factors, unsigned threads, const JobContext& ctx);

/// A block as a lossy codec stores it. `rebuilt` is what it decodes to.
struct LossyBlock {
    Bytes stored, rebuilt;
};
/// Geometry of a block's tensor that codecs group by.
struct BlockRows {
    std::uint64_t row_length = 0, first_column = 0;
};
BlockRows block_rows(const ModelDirectory& model, const PlannedBlock& block);
/// No value where the block cannot be stored so (weights that are not finite) and stays lossless. With `bytes` false only
/// `rebuilt` is filled, by the same arithmetic.
std::optional<LossyBlock> encode_lossy(std::span<const std::byte> raw, std::span<const std::byte> base, DType dtype, const LossyChoice& choice,
                                       const BlockRows& rows, bool bytes = true);

}  // namespace tenpak::delta

// SPDX-License-Identifier: Apache-2.0
// One planned block, read and encoded: the step that compress and estimate share, so that what was estimated is stored.
#pragma once
#include "core/delta/block_plan.h"
#include "core/delta/codec.h"
#include "core/delta/lossy.h"
#include "core/delta/predict.h"
#include "core/delta/tensor_factors.h"

namespace tenpak::delta {

struct EncodedBlock {
    const Codec* codec = nullptr;
    Bytes raw, stored;
    Predicted predicted;                 ///< empty where the block has none
    bool low_rank = false;               ///< the codec predicts with the tensor's factors
    std::uint64_t factors_weight = 0;    ///< then: the block's first weight in their matrix
    std::vector<std::uint64_t> changed;  ///< [piece] elements that differ from the base's (all, without one)
    bool lossy = false;                  ///< raw is what the block decodes to, and not what was read
    ErrorSums error;                     ///< where a lossy mode is on and the block is predicted
};

/// `base` may be null where the block has no range of it; `factors`, of the block's tensor, may be null.
/// `choice`: what a lossy mode does to the block's tensor; null in lossless mode.
Result<EncodedBlock> encode_block(const ModelDirectory& model, const ModelSource* base, const PlannedBlock& block, const TensorFactors* factors,
                                  const LossyChoice* choice = nullptr);
/// What a block decodes to that encode_block made lossy: the same arithmetic, without encoding.
Result<Bytes> rebuild_lossy(const ModelDirectory& model, const ModelSource& base, const PlannedBlock& block, const TensorFactors* factors, const LossyChoice& choice);
/// Elements of `a` that differ from `b`.
std::uint64_t count_changed(std::span<const std::byte> a, std::span<const std::byte> b, DType t);

}  // namespace tenpak::delta

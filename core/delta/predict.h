// SPDX-License-Identifier: Apache-2.0
// Making a block's prediction: the base's bytes, transformed, plus a low-rank term.
#pragma once
#include <string>
#include <vector>

#include "core/base/block_stream.h"
#include "core/delta/low_rank.h"
#include "core/delta/prediction.h"
#include "core/tensor/model_source.h"

namespace tenpak::delta {

/// A prediction that owns its bytes. Used again for the next block it costs no new memory.
struct Predicted {
    Bytes bytes;
    std::vector<std::uint8_t> keys;
    Bytes base;  ///< what bytes were made of, where a low-rank term was added: kept for its memory
    Prediction view() const { return {bytes, keys}; }
};

/// Bytes that the ranges give after the transform, for checks before anything is allocated. kMalformed for impossible ones,
/// kUnsupported for an unknown transform.
Result<std::uint64_t> predicted_size(const std::vector<BaseRange>& ranges, const std::string& transform);
/// The ranges' bytes, one behind the other, each transformed. kWrongBase where the base has no such range. `out` keeps its capacity.
Status predict_from_base(const ModelSource& base, const std::vector<BaseRange>& ranges, const std::string& transform, Bytes& out);
/// What a tensor of the base predicts for `weights` weights from `first` on, for samples: groups that the transform needs whole are
/// read whole. `tensor` is one of the base's.
Result<Bytes> predict_weights(const ModelSource& base, const TensorInfo& tensor, std::uint64_t first, std::uint64_t weights, const std::string& transform);
/// `base` (the block's own element type) with the low-rank term added, and the keys that the term gives. `first_weight`: of the block
/// in the factors' matrix.
Status add_low_rank(const LowRankPredictor& predictor, std::uint64_t first_weight, FloatKind kind, std::span<const std::byte> base, Predicted& out);
/// The whole prediction of a block of an artifact; empty where it needs none. `base` may be null then, else kInvalidArgument.
Status predict_block(const BlockSource& blocks, const BlockInfo& info, const ModelSource* base, Predicted& out);

}  // namespace tenpak::delta

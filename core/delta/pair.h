// SPDX-License-Identifier: Apache-2.0
// Which tensor of the fine-tune belongs to which tensor of the base, and whether the two models fit at all.
#pragma once
#include <optional>
#include <string>
#include <vector>

#include "core/tensor/model_source.h"

namespace tenpak::delta {

/// A tensor of the fine-tune and its predictor in the base; no base where it was added.
struct TensorPair {
    std::uint32_t fine_tune = 0;        ///< index into the fine-tune's tensors()
    std::optional<std::uint32_t> base;  ///< index into the base's tensors()
    std::uint64_t weights = 0;          ///< how many of the fine-tune's weights, from its first, have a counterpart
    std::uint64_t base_weight = 0;      ///< index of the first one's counterpart in the base's tensor
    std::string transform;              ///< of the base's weights into the fine-tune's (transform.h); empty: as they are
};

/// One row of the studio's "What does not fit" table.
struct Misfit {
    std::string tensor, in_base, in_fine_tune, why;
};

struct PairPlan {
    std::vector<TensorPair> pairs;  ///< in the fine-tune's tensor order
    std::vector<Misfit> misfits;    ///< tensors that cannot be predicted and are stored alone
    bool fits = false;              ///< at least half of the fine-tune's bytes have a base tensor
    std::string base_fingerprint, fine_tune_fingerprint;  ///< short, of names, shapes and dtypes
};

/// Never fails for want of a fit: look at `fits`. Refused pairs are reported as kMismatch by the callers.
PairPlan pair_tensors(const ModelSource& base, const ModelSource& fine_tune);
/// The error for a plan that does not fit: first misfit and both fingerprints in words.
Error misfit_error(const PairPlan& plan, const ModelSource& base, const ModelSource& fine_tune);

}  // namespace tenpak::delta

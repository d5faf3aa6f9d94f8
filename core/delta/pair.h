// SPDX-License-Identifier: Apache-2.0
// Which tensor of the fine-tune belongs to which tensor of the base, and whether the two models fit at all.
//
// In this order, each step for what the ones before have left:
//   1. the same name; the first dimension may differ (a vocabulary that grew or shrank), so may the element type (a cast);
//   2. the same name but for its beginning (match_names.h);
//   3. the same content (match_sketch.h): other names, other order, a head where the base is tied. Pairs of step 1 and 2 whose
//      contents are strangers are tried again here;
//   4. the same layer: where a layer's large tensors have turned out to be another layer's, its small ones are, too.
// Then each pair gets the transform that brings it nearest (match_transform.h). Some kilobytes of each tensor are read.
#pragma once
#include <optional>
#include <string>
#include <vector>

#include "core/base/job_context.h"
#include "core/tensor/model_source.h"

namespace tenpak::delta {

/// A tensor of the fine-tune and its predictor in the base; no base where it was added.
struct TensorPair {
    std::uint32_t fine_tune = 0;        ///< index into the fine-tune's tensors()
    std::optional<std::uint32_t> base;  ///< index into the base's tensors()
    std::uint64_t weights = 0;          ///< how many of the fine-tune's weights, from its first, have a counterpart
    std::uint64_t base_weight = 0;      ///< index of the first one's counterpart in the base's tensor
    std::string transform;              ///< of the base's weights into the fine-tune's (transform.h); empty: as they are
    std::string how;                    ///< why this tensor, in few words: "prefix; F32 to BF16"; empty: same name, type and shape
};

/// One row of the studio's "What does not fit" table.
struct Misfit {
    std::string tensor, in_base, in_fine_tune, why;
};

struct PairPlan {
    std::vector<TensorPair> pairs;  ///< in the fine-tune's tensor order
    std::vector<Misfit> misfits;    ///< what cannot be predicted and is stored alone: tensors, or the rows that were added
    bool fits = false;              ///< at least half of the fine-tune's bytes have a base tensor
    std::string base_fingerprint, fine_tune_fingerprint;  ///< short, of names, shapes and dtypes
};

/// Never fails for want of a fit: look at `fits`. Refused pairs are reported as kMismatch by the callers. What cannot be read
/// counts as unlike. Once `ctx` is cancelled, the rest is paired by name alone. Thread-safe.
PairPlan pair_tensors(const ModelSource& base, const ModelSource& fine_tune, const JobContext& ctx = {});
/// The error for a plan that does not fit: first misfit and both fingerprints in words.
Error misfit_error(const PairPlan& plan, const ModelSource& base, const ModelSource& fine_tune);
/// Of names, shapes and dtypes: 8 hexadecimal digits. Reads no weights.
std::string model_fingerprint(const ModelSource& model);

}  // namespace tenpak::delta

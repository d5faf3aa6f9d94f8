// SPDX-License-Identifier: Apache-2.0
// Which of several models a fine-tune is most likely made from: about 1 MB of each is read and compared.
#pragma once
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "core/base/job_context.h"
#include "core/tensor/model_source.h"

namespace tenpak::delta {

struct BaseCandidate {
    std::size_t candidate = 0;        ///< index into the given ones
    double bits_per_weight = 0;       ///< estimated, of what the fine-tune would cost as a delta from it
    double saved_fraction = 0;        ///< estimated, of the fine-tune's weights' bytes; about: weights only, no container
    double equal_fraction = 0;        ///< of the sampled weights that have a counterpart
    std::size_t matched_tensors = 0;  ///< of the fine-tune's, with a counterpart in it
    std::size_t same_name_tensors = 0;  ///< of those, by name, type and shape
    std::size_t tensors = 0;          ///< of the fine-tune
    bool fits = false;                ///< compress() would take it
    std::string reason;               ///< in words, for people
};

/// Best first: those that fit by what they save, then the others by what matches. Candidates are looked at in parallel; one that
/// cannot be read does not fit and says why. Errors: kCancelled, kInvalidArgument (a fine-tune without weights).
Result<std::vector<BaseCandidate>> choose_base(const ModelSource& fine_tune, const std::vector<std::shared_ptr<const ModelSource>>& candidates, unsigned threads, const JobContext& ctx);

}  // namespace tenpak::delta

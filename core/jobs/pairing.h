// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <vector>

#include "core/optimizer/trial.h"

namespace tenpak::jobs {

/// Fills ppl_delta and its interval from the paired difference over windows; exactly 0 for fp16 itself. Leaves what the
/// trial says already, and leaves it unknown (with a note) where the windows do not match.
void pair_with_baseline(optimizer::Trial& trial, const std::vector<double>& baseline_nll);

}  // namespace tenpak::jobs

// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "core/compute/softmax.h"

namespace tenpak::evaluate {
using compute::argmax;
using compute::kl_divergence;
using compute::log_sum_exp;
}  // namespace tenpak::evaluate

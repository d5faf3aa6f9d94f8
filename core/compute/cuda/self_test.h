// SPDX-License-Identifier: Apache-2.0
// A minute part of tests/gpu that every probe runs: a GPU whose kernels compute something else is no GPU to measure on.
#pragma once
#include "core/compute/backend.h"

namespace tenpak::compute {

/// Runs products of every format, norms, rotation and attention on `device` and on the CPU. kNumeric names the first that differs.
Status compare_with_cpu(Backend& device);

}  // namespace tenpak::compute

// SPDX-License-Identifier: Apache-2.0
#include "core/compute/cpu/kernels.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <type_traits>

#define TENPAK_NATIVE_LANES 4

namespace tenpak::compute::cpu {
namespace {
#include "core/compute/cpu/simd.inc"
#include "core/compute/cpu/readers.inc"
#include "core/compute/cpu/kernels.inc"
#include "core/compute/cpu/elementwise.inc"
#include "core/compute/cpu/attention.inc"
}  // namespace

const Kernels& kernels_scalar() {
    static const Kernels table = {"scalar", "scalar", kBlockTokens, small, large, int8, outliers, to_e4m3, nullptr, nullptr, nullptr, nullptr, nullptr, kElementwise, attention};
    return table;
}

}  // namespace tenpak::compute::cpu

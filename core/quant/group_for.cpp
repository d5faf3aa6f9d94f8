// SPDX-License-Identifier: Apache-2.0
#include "core/quant/quantize.h"

namespace tenpak::quant {

std::uint32_t group_for(std::uint32_t wanted, std::uint32_t k) {
    for (const std::uint32_t g : {wanted, 128u, 64u, 32u}) {
        if (g != 0 && g <= wanted && k % g == 0) return g;
    }
    return k;
}

}  // namespace tenpak::quant

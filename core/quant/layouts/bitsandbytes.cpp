// SPDX-License-Identifier: Apache-2.0
#include "core/quant/layouts/bitsandbytes.h"

#include <cmath>

namespace tenpak::quant {

bool is_block_size(std::uint64_t size) { return size >= 32 && size <= 4096 && (size & (size - 1)) == 0; }

std::vector<std::uint8_t> swapped_nibbles(std::vector<std::uint8_t> codes) {
    for (std::uint8_t& c : codes) c = static_cast<std::uint8_t>(c << 4 | c >> 4);
    return codes;
}

float row_magnitude(float scale) {
    const float near = scale * 127.0f;
    for (const float candidate : {near, std::nextafter(near, 0.0f), std::nextafter(near, INFINITY)}) {
        if (candidate / 127.0f == scale) return candidate;
    }
    return near;
}

}  // namespace tenpak::quant

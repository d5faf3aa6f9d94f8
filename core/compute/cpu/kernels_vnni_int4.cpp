// SPDX-License-Identifier: Apache-2.0
// Integer products of 4-bit codes.
#include "core/compute/cpu/vnni_product.inc"

namespace tenpak::compute::cpu {

void vnni_int4(const Panels& w, const Tile& tile, const IntegerBlocks& x, unsigned parts, float* y, std::size_t ldy) {
    product_of<Codes::kInt4>(w, tile, x, parts, y, ldy);
}

}  // namespace tenpak::compute::cpu

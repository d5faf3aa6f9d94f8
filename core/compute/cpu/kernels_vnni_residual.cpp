// SPDX-License-Identifier: Apache-2.0
// Integer products of 6-bit codes in two planes.
#include "core/compute/cpu/vnni_product.inc"

namespace tenpak::compute::cpu {

void vnni_residual(const Panels& w, const Tile& tile, const IntegerBlocks& x, unsigned parts, float* y, std::size_t ldy) {
    product_of<Codes::kResidual>(w, tile, x, parts, y, ldy);
}

}  // namespace tenpak::compute::cpu

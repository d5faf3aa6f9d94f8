// SPDX-License-Identifier: Apache-2.0
// Integer products of int8 codes.
#include "core/compute/cpu/vnni_product.inc"

namespace tenpak::compute::cpu {

void vnni_int8(const Panels& w, const Tile& tile, const IntegerBlocks& x, unsigned parts, float* y, std::size_t ldy) {
    if (w.format == WeightFormat::kInt8Channel) product<Codes::kInt8Channel, 1>(w, tile, x, y, ldy);
    else product_of<Codes::kInt8>(w, tile, x, parts, y, ldy);
}

}  // namespace tenpak::compute::cpu

// SPDX-License-Identifier: Apache-2.0
// Integer products of 4-bit codes of which a quarter has 8.
#include "core/compute/cpu/vnni_product.inc"

namespace tenpak::compute::cpu {

void vnni_sparse(const Panels& w, const Tile& tile, const IntegerBlocks& x, unsigned parts, float* y, std::size_t ldy) {
    if (w.expand_bytes) product_of<Codes::kSparseExpand>(w, tile, x, parts, y, ldy);
    else product_of<Codes::kSparse>(w, tile, x, parts, y, ldy);
}

}  // namespace tenpak::compute::cpu

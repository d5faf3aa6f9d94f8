// SPDX-License-Identifier: Apache-2.0
// Integer products of 4-bit codes of which a quarter has 8.
#include "core/compute/cpu/vnni_product.inc"

namespace tenpak::compute::cpu {

void vnni_sparse(const Panels& w, const Tile& tile, const IntegerBlocks& x, unsigned parts, float* y, std::size_t ldy, void* scratch) {
    constexpr int kFew = 4;  // tokens for which codes are unpacked on the way
    if (x.tokens <= kFew && w.expand_bytes) {
        if (parts == 2) product<Codes::kSparse, 2, kFew>(w, tile, x, y, ldy);
        else product<Codes::kSparse, 1, kFew>(w, tile, x, y, ldy);
    } else {
        auto* bytes = static_cast<std::uint8_t*>(scratch);
        if (parts == 2) unpacked_product<2>(w, tile, x, y, ldy, bytes);
        else unpacked_product<1>(w, tile, x, y, ldy, bytes);
    }
}

}  // namespace tenpak::compute::cpu

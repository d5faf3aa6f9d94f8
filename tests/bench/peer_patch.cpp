// SPDX-License-Identifier: Apache-2.0
#include <zstd.h>

#include <algorithm>
#include <bit>
#include <stdexcept>

#include "tests/bench/peers.h"

namespace tenpak::bench {

Bytes patch_encode(Span fine, Span base, int level) {
    ZSTD_CCtx* c = ZSTD_createCCtx();
    const auto log = std::clamp(static_cast<int>(std::bit_width(fine.size() + base.size())), 10, 31);
    ZSTD_CCtx_setParameter(c, ZSTD_c_compressionLevel, level);
    ZSTD_CCtx_setParameter(c, ZSTD_c_windowLog, log);
    ZSTD_CCtx_setParameter(c, ZSTD_c_enableLongDistanceMatching, 1);
    ZSTD_CCtx_refPrefix(c, base.data(), base.size());
    Bytes out(ZSTD_compressBound(fine.size()));
    const std::size_t n = ZSTD_compress2(c, out.data(), out.size(), fine.data(), fine.size());
    ZSTD_freeCCtx(c);
    if (ZSTD_isError(n)) throw std::runtime_error("zstd --patch-from");
    out.resize(n);
    return out;
}
Bytes patch_decode(Span stored, Span base, std::size_t size) {
    ZSTD_DCtx* d = ZSTD_createDCtx();
    ZSTD_DCtx_setParameter(d, ZSTD_d_windowLogMax, 31);
    ZSTD_DCtx_refPrefix(d, base.data(), base.size());
    Bytes out(size);
    const std::size_t n = ZSTD_decompressDCtx(d, out.data(), out.size(), stored.data(), stored.size());
    ZSTD_freeDCtx(d);
    if (ZSTD_isError(n) || n != size) throw std::runtime_error("zstd --patch-from");
    return out;
}

}  // namespace tenpak::bench

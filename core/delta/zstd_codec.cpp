// SPDX-License-Identifier: Apache-2.0
#include "core/delta/zstd_codec.h"

#include <zstd.h>

#include <bit>
#include <memory>

namespace tenpak::delta {

namespace {

/// One context a thread: making one for each block would cost more than small blocks do.
ZSTD_DCtx* thread_decoder() {
    static thread_local const std::unique_ptr<ZSTD_DCtx, std::size_t (*)(ZSTD_DCtx*)> dctx(ZSTD_createDCtx(), ZSTD_freeDCtx);
    return dctx.get();
}

}  // namespace

int zstd_level(std::size_t size, bool text_like) { return !text_like ? 3 : size <= (256u << 10) ? 19 : 12; }

bool zstd_encode(std::span<const std::byte> raw, int level, Bytes& out, std::span<const std::byte> prefix) {
    const std::size_t begin = out.size();
    out.resize(begin + ZSTD_compressBound(raw.size()));
    std::size_t n = 0;
    if (prefix.empty()) {
        n = ZSTD_compress(out.data() + begin, out.size() - begin, raw.data(), raw.size(), level);
    } else {
        const std::unique_ptr<ZSTD_CCtx, std::size_t (*)(ZSTD_CCtx*)> cctx(ZSTD_createCCtx(), ZSTD_freeCCtx);
        if (cctx == nullptr) return false;
        ZSTD_CCtx_setParameter(cctx.get(), ZSTD_c_compressionLevel, level);
        ZSTD_CCtx_setParameter(cctx.get(), ZSTD_c_windowLog, static_cast<int>(std::bit_width(prefix.size() + raw.size())));
        ZSTD_CCtx_refPrefix(cctx.get(), prefix.data(), prefix.size());
        n = ZSTD_compress2(cctx.get(), out.data() + begin, out.size() - begin, raw.data(), raw.size());
    }
    const bool smaller = ZSTD_isError(n) == 0 && n < raw.size();
    out.resize(smaller ? begin + n : begin);
    return smaller;
}

Status zstd_decode(std::span<const std::byte> stored, std::span<std::byte> raw, std::span<const std::byte> prefix) {
    const auto malformed = [](const char* what) { return make_error(ErrorCode::kMalformed, what, {}, "The block is damaged or made by a faulty program"); };
    if (ZSTD_getFrameContentSize(stored.data(), stored.size()) != raw.size()) return malformed("a zstd block has another size than its record says");
    // Exactly one frame: a concatenation of frames would have other bytes for the same content.
    if (ZSTD_findFrameCompressedSize(stored.data(), stored.size()) != stored.size()) return malformed("a zstd block ends early or has something behind its frame");
    ZSTD_DCtx* dctx = thread_decoder();
    if (dctx == nullptr) return make_error(ErrorCode::kOutOfMemory, "no memory for the zstd decoder");
    // A prefix is for one frame only: no earlier one stays, even where a frame failed.
    ZSTD_DCtx_reset(dctx, ZSTD_reset_session_and_parameters);
    if (!prefix.empty()) ZSTD_DCtx_refPrefix(dctx, prefix.data(), prefix.size());
    const std::size_t n = ZSTD_decompressDCtx(dctx, raw.data(), raw.size(), stored.data(), stored.size());
    if (ZSTD_isError(n) != 0 || n != raw.size()) return malformed("a zstd block cannot be decoded");
    return {};
}

}  // namespace tenpak::delta

// SPDX-License-Identifier: Apache-2.0
#include <zstd.h>

#include "core/artifact/layout.h"
#include "core/artifact/manifest.h"

namespace tenpak::artifact {

namespace {
/// Thorough where it takes no time: manifests of small models, for which it matters most.
int level_for(std::size_t size) { return size <= (4u << 20) ? 19 : 6; }
}  // namespace

Result<Bytes> pack_manifest(std::string_view text) {
    try {
        Bytes frame(ZSTD_compressBound(text.size()));
        const std::size_t n = ZSTD_compress(frame.data(), frame.size(), text.data(), text.size(), level_for(text.size()));
        if (ZSTD_isError(n) != 0) return make_error(ErrorCode::kInternal, "the manifest could not be compressed", ZSTD_getErrorName(n));
        frame.resize(n);
        return frame;
    } catch (const std::bad_alloc&) {
        return make_error(ErrorCode::kOutOfMemory, "not enough memory for the manifest");
    }
}

Result<std::string> unpack_manifest(std::span<const std::byte> frame, const std::string& where) {
    const auto malformed = [&](const char* what) { return make_error(ErrorCode::kMalformed, what, where, "The artifact is damaged or made by a faulty program"); };
    const unsigned long long size = ZSTD_getFrameContentSize(frame.data(), frame.size());
    if (size == ZSTD_CONTENTSIZE_ERROR || size == ZSTD_CONTENTSIZE_UNKNOWN) return malformed("the manifest is no zstd frame of known size");
    if (size > kMaxManifest) return malformed("the manifest unpacks to more than 128 MiB");
    if (ZSTD_findFrameCompressedSize(frame.data(), frame.size()) != frame.size()) return malformed("the manifest's zstd frame ends early or has something behind it");
    try {
        std::string text(static_cast<std::size_t>(size), '\0');
        const std::size_t n = ZSTD_decompress(text.data(), text.size(), frame.data(), frame.size());
        if (ZSTD_isError(n) != 0 || n != text.size()) return malformed("the manifest's zstd frame cannot be decoded");
        return text;
    } catch (const std::bad_alloc&) {
        return make_error(ErrorCode::kOutOfMemory, "not enough memory for the manifest", where);
    }
}

}  // namespace tenpak::artifact

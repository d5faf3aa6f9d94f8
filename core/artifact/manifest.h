// SPDX-License-Identifier: Apache-2.0
// manifest.json: everything that an artifact is, in the exact bytes that a signature covers (FORMAT.md). Internal to
// core/artifact.
#pragma once
#include <string>
#include <string_view>
#include <vector>

#include "core/base/block_stream.h"

namespace tenpak::artifact {

struct Manifest {
    ModelRecord model;
    std::vector<FileRecord> files;
    std::vector<BlockInfo> blocks;
    std::vector<std::uint64_t> offsets;  ///< of the blocks in the data area
    std::vector<std::uint64_t> packs;    ///< sizes; their sum is the data area's length
    std::string created;                 ///< RFC 3339, UTC
    std::string signature_scheme = "none";

    std::uint64_t data_bytes() const;
    bool has_aligned() const;  ///< whether a chunk lies on a page boundary
};

/// What a manifest must fulfil besides its syntax: paths, sizes, sums, placement, references. Used on reading and before writing.
Status check_manifest(const Manifest& m, const std::string& where);
/// Canonical bytes. Fails (kMalformed) where check_manifest does.
Result<std::string> encode_manifest(const Manifest& m);
/// Strict: the bytes must be exactly what encode_manifest makes of their content, so unknown or double keys, other
/// spellings of numbers and white space are all refused.
Result<Manifest> parse_manifest(std::string_view bytes, const std::string& where);

/// manifest.json as it lies in the single-file form: one zstd frame, since names and keys repeat.
Result<Bytes> pack_manifest(std::string_view text);
/// kMalformed for a frame that is damaged or unpacks to more than kMaxManifest.
Result<std::string> unpack_manifest(std::span<const std::byte> frame, const std::string& where);

}  // namespace tenpak::artifact

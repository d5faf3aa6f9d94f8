// SPDX-License-Identifier: Apache-2.0
// Where bytes lie in a .tnpk (FORMAT.md): the placement of chunks in the data area, which both forms share, and the header
// of the single-file form. Internal to core/artifact.
#pragma once
#include <array>
#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "core/base/error.h"
#include "core/base/file.h"
#include "core/base/hash.h"

namespace tenpak::artifact {

inline constexpr std::uint64_t kPage = 4096;
inline constexpr std::uint64_t kAlignedFrom = 1u << 20;         ///< raw chunks of this size or more begin on a page
inline constexpr std::uint64_t kPackTarget = 64u << 20;         ///< a pack is closed once it holds this much
inline constexpr std::uint64_t kMaxBlock = 256u << 20;          ///< of one chunk, stored or decoded
inline constexpr std::uint64_t kMaxManifest = 128u << 20;
inline constexpr std::uint64_t kMaxSignature = 64u << 20;       ///< of one signature file
inline constexpr std::uint64_t kMaxChunks = 1'000'000;
inline constexpr std::uint64_t kMaxFiles = 100'000;
inline constexpr std::uint64_t kMaxTotal = (std::uint64_t{1} << 48) - 1;

inline constexpr std::uint64_t align_page(std::uint64_t n) { return (n + kPage - 1) / kPage * kPage; }

/// Places chunks one after the other. Reader and writer run the same rule, so a manifest cannot hide bytes in gaps.
class Placement {
   public:
    /// Offset of the next chunk; kMalformed when the whole grows beyond kMaxTotal.
    Result<std::uint64_t> place(std::string_view codec, std::uint64_t size);
    std::uint64_t end() const { return end_; }
    bool has_aligned() const { return aligned_; }
    /// Sizes of the packs; their sum is end().
    std::vector<std::uint64_t> packs() const;

   private:
    std::uint64_t end_ = 0, pack_begin_ = 0;
    bool aligned_ = false;
    std::vector<std::uint64_t> closed_;
};

/// Header of the single-file form: kHeaderBytes bytes at the file's begin.
struct Header {
    std::uint64_t manifest_bytes = 0;   ///< of the zstd frame that holds manifest.json, directly behind the header
    std::uint64_t data_offset = 0;      ///< page-aligned where the data area has a page-aligned chunk
    std::uint64_t data_bytes = 0;
    std::uint64_t signature_bytes = 0;        ///< signature.sig, directly behind the data area
    std::uint64_t model_signature_bytes = 0;  ///< model.sig, directly behind it; the file ends there
    Digest manifest_sha256{};           ///< of that frame
    Digest signatures_sha256{};         ///< of signature.sig and model.sig as they lie: catches accidents, not forgers
    std::uint64_t total() const { return data_offset + data_bytes + signature_bytes + model_signature_bytes; }
};
inline constexpr std::size_t kHeaderBytes = 128;
inline constexpr std::uint32_t kVersion = 2;

std::array<std::byte, kHeaderBytes> encode_header(const Header& header);
/// `bytes` is the file's begin, `file_size` its real size. kIntegrity for a damaged header of a file that is recognizably
/// ours (by most of its magic, or because `named_tnpk`), kUnsupported for a newer version, kMalformed otherwise.
Result<Header> decode_header(std::span<const std::byte> bytes, std::uint64_t file_size, bool named_tnpk, const std::string& where);
/// Whether the first bytes are the magic.
bool has_magic(std::span<const std::byte> bytes);

/// "chunks/0000.bin" of the directory form.
std::string pack_name(std::size_t index);

}  // namespace tenpak::artifact

// SPDX-License-Identifier: Apache-2.0
#include "core/artifact/layout.h"

#include <bit>
#include <cstring>

namespace tenpak::artifact {
namespace {

// As in PNG: a byte over 127, both line ends and ^Z show a transfer that took the file for text.
constexpr std::array<unsigned char, 8> kMagic{0x89, 'T', 'N', 'P', 'K', '\r', '\n', 0x1a};
// Offsets of the header's fields; all integers little endian.
constexpr std::size_t kAtVersion = 8, kAtHeaderBytes = 12, kAtManifestBytes = 16, kAtDataOffset = 24, kAtDataBytes = 32,
                      kAtSignatureBytes = 40, kAtModelSignatureBytes = 48, kAtManifestHash = 56, kAtSignaturesHash = 88, kAtCheck = 120;
static_assert(std::endian::native == std::endian::little);

template <class T>
T get(std::span<const std::byte> b, std::size_t at) {
    T v;
    std::memcpy(&v, b.data() + at, sizeof v);
    return v;
}
std::size_t magic_bytes_that_match(std::span<const std::byte> b) {
    std::size_t n = 0;
    for (std::size_t i = 0; i < std::min(b.size(), kMagic.size()); ++i) n += b[i] == std::byte{kMagic[i]} ? 1 : 0;
    return n;
}
/// The first 8 bytes of the SHA-256 of all before it. Every version keeps this field where it is.
std::uint64_t check_value(std::span<const std::byte> header) {
    const Digest d = sha256(header.first(kAtCheck));
    std::uint64_t v;
    std::memcpy(&v, d.data(), sizeof v);
    return v;
}

}  // namespace

Result<std::uint64_t> Placement::place(std::string_view codec, std::uint64_t size) {
    if (size == 0) return end_;
    if (end_ - pack_begin_ >= kPackTarget) {
        end_ = align_page(end_);
        closed_.push_back(end_ - pack_begin_);
        pack_begin_ = end_;
    }
    if (codec == "raw" && size >= kAlignedFrom) {
        end_ = align_page(end_);
        aligned_ = true;
    }
    if (size > kMaxBlock || size > kMaxTotal - end_) return make_error(ErrorCode::kMalformed, "a chunk or the sum of all is too large");
    const std::uint64_t offset = end_;
    end_ += size;
    return offset;
}

std::vector<std::uint64_t> Placement::packs() const {
    auto p = closed_;
    if (end_ > pack_begin_) p.push_back(end_ - pack_begin_);
    return p;
}

std::array<std::byte, kHeaderBytes> encode_header(const Header& h) {
    std::array<std::byte, kHeaderBytes> b{};
    const auto put = [&](std::size_t at, auto v) { std::memcpy(b.data() + at, &v, sizeof v); };
    put(0, kMagic);
    put(kAtVersion, kVersion);
    put(kAtHeaderBytes, static_cast<std::uint32_t>(kHeaderBytes));
    put(kAtManifestBytes, h.manifest_bytes);
    put(kAtDataOffset, h.data_offset);
    put(kAtDataBytes, h.data_bytes);
    put(kAtSignatureBytes, h.signature_bytes);
    put(kAtModelSignatureBytes, h.model_signature_bytes);
    put(kAtManifestHash, h.manifest_sha256);
    put(kAtSignaturesHash, h.signatures_sha256);
    put(kAtCheck, check_value(b));
    return b;
}

bool has_magic(std::span<const std::byte> b) { return magic_bytes_that_match(b) == kMagic.size(); }

Result<Header> decode_header(std::span<const std::byte> b, std::uint64_t file_size, bool named_tnpk, const std::string& where) {
    const auto damaged = [&](std::string what) {
        return make_error(ErrorCode::kIntegrity, std::move(what), where, "The artifact is damaged: get it again");
    };
    const std::size_t match = magic_bytes_that_match(b);
    if (match + 2 < kMagic.size() && !named_tnpk) {
        return make_error(ErrorCode::kMalformed, "not a .tnpk artifact", where, "Choose a .tnpk file or folder");
    }
    if (b.size() < kHeaderBytes || file_size < kHeaderBytes) return damaged("the file ends inside its header");
    if (match < kMagic.size() || get<std::uint64_t>(b, kAtCheck) != check_value(b)) return damaged("the header does not match its check value");
    if (get<std::uint32_t>(b, kAtVersion) != kVersion) {
        return make_error(ErrorCode::kUnsupported, "a .tnpk of version " + std::to_string(get<std::uint32_t>(b, kAtVersion)), where,
                          "This program reads version 2: use another one");
    }
    const auto malformed = [&](std::string what) { return make_error(ErrorCode::kMalformed, std::move(what), where); };
    if (get<std::uint32_t>(b, kAtHeaderBytes) != kHeaderBytes) return malformed("the header's length is not 128");
    Header h;
    h.manifest_bytes = get<std::uint64_t>(b, kAtManifestBytes);
    h.data_offset = get<std::uint64_t>(b, kAtDataOffset);
    h.data_bytes = get<std::uint64_t>(b, kAtDataBytes);
    h.signature_bytes = get<std::uint64_t>(b, kAtSignatureBytes);
    h.model_signature_bytes = get<std::uint64_t>(b, kAtModelSignatureBytes);
    h.manifest_sha256 = get<Digest>(b, kAtManifestHash);
    h.signatures_sha256 = get<Digest>(b, kAtSignaturesHash);
    // Each is bounded first, so that the sums below cannot overflow.
    if (h.manifest_bytes > kMaxManifest || h.data_bytes > kMaxTotal || h.signature_bytes > kMaxSignature || h.model_signature_bytes > kMaxSignature) {
        return malformed("the header declares a part that is larger than the format allows");
    }
    const std::uint64_t behind = kHeaderBytes + h.manifest_bytes;
    if (h.data_offset != behind && h.data_offset != align_page(behind)) return malformed("the data area does not begin behind the manifest");
    if (h.total() != file_size) {
        return damaged("the header declares " + std::to_string(h.total()) + " bytes, the file has " + std::to_string(file_size));
    }
    return h;
}

std::string pack_name(std::size_t index) {
    std::string n = std::to_string(index);
    if (n.size() < 4) n.insert(0, 4 - n.size(), '0');
    return "chunks/" + n + ".bin";
}

}  // namespace tenpak::artifact

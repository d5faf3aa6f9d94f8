// SPDX-License-Identifier: Apache-2.0
// Codecs of the lossy modes: a block decodes, exactly and on every machine alike, to weights near those it was made from.
// "int8-sparse" and "int4-groups" hold quantized changes, "bit1" signs and scales. Bytes: FORMAT.md "Lossy codecs".
#pragma once
#include <string_view>

#include "core/delta/codec.h"
#include "core/delta/lossy_quantize.h"

namespace tenpak::delta {

inline constexpr std::string_view kInt8SparseCodec = "int8-sparse", kInt4GroupsCodec = "int4-groups", kBit1Codec = "bit1";
inline constexpr unsigned kInt8Most = 127, kInt4Most = 7;

/// They decode only: encode() always answers false, since what they hold is not the block that it gets.
const std::vector<const Codec*>& lossy_codecs();

/// Appends the stored bytes of a block of "int8-sparse" (z.most is kInt8Most) or "int4-groups" (kInt4Most).
void encode_quantized(std::span<const std::byte> base, FloatKind kind, const Quantizer& z, const Quantized& values, Bytes& out);
/// Bytes that would be stored, and how many of them do not grow with the block.
struct QuantizedCost {
    double data = 0, fixed = 0;
};
QuantizedCost quantized_cost(std::span<const std::byte> base, FloatKind kind, const Quantizer& z, const Quantized& values);

void encode_signs(FloatKind kind, const SignGroups& groups, std::span<const std::uint16_t> scales, std::span<const std::uint8_t> bits, Bytes& out);

}  // namespace tenpak::delta

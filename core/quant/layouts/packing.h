// SPDX-License-Identifier: Apache-2.0
// Codes of LinearWeight in the words of compressed-tensors files (optimizer.md 4.3, 4.4), and back. Words are int32, little
// endian: value j of a word lies at bits b*j. Values are stored as code + 2^(b-1), so all are unsigned.
#pragma once
#include <cstdint>
#include <span>

#include "core/base/file.h"
#include "core/compute/linear_weight.h"

namespace tenpak::quant {

/// Words a row of `count` values of `bits` (4 or 8) needs.
inline std::uint64_t packed_words(std::uint64_t count, unsigned bits) { return (count * bits + 31) / 32; }

/// weight_packed int32 [n, packed_words(k)] of kInt4Group or kInt8Group; rows end with zero bits.
Bytes pack_codes(const compute::LinearWeight& w);
/// Codes of LinearWeight from weight_packed. `packed` has n * packed_words(k) words.
std::vector<std::uint8_t> unpack_codes(std::span<const std::byte> packed, std::uint32_t n, std::uint32_t k, unsigned bits);

/// weight_zero_point int32 [packed_words(n), groups]: 4-bit zeros packed along the rows. `repeat` writes each group's that often.
Bytes pack_zeros(std::span<const std::uint8_t> zeros, std::uint32_t n, std::uint32_t groups, std::uint32_t repeat);
std::vector<std::uint8_t> unpack_zeros(std::span<const std::byte> packed, std::uint32_t n, std::uint32_t groups);

}  // namespace tenpak::quant

// SPDX-License-Identifier: Apache-2.0
// The encoder's loops over weights, in the plain version and compiled once more for newer CPUs (lzcnt, shlx, AVX-512
// where the compiler can use it). The same source, so the same result.
#pragma once
#include <cstddef>
#include <cstdint>

#include "core/delta/payload.h"
#include "core/delta/rans.h"

namespace tenpak::delta {

/// index[i] = exponent of the base's weight x `stride` + its anchored symbol at the finest detail.
struct IndexJob {
    const std::byte* raw;
    const std::byte* base;
    std::size_t weights;
    FloatLayout layout;
    std::uint32_t stride, cross_begin;
    std::uint32_t* index;
};
void index_weights(const IndexJob& job);

/// codes[i] = code_of[index[i]], which is context << 8 | number of the symbol, and the raw bits of each weight.
/// kAbsolute in code_of: the context has absolute symbols; then `absolute_code` of the context and symbol is taken.
inline constexpr std::uint16_t kAbsolute = 0x8000;
struct MapJob {
    const std::byte* raw;
    const std::byte* base;                    ///< may be null: all absolute, context 0
    std::size_t weights;
    FloatLayout layout;
    unsigned absolute_shift;                  ///< mantissa bits that absolute symbols at the finest detail leave out
    const std::uint32_t* index;
    const std::uint16_t* code_of;             ///< by index; kAbsolute | context for absolute contexts
    const std::uint8_t* number;               ///< [context * number_stride + absolute symbol]
    std::size_t number_stride;
    const DecodeTables::Symbol* symbols;      ///< [code]
    std::uint16_t* codes;
    std::byte* bits;                          ///< room for all weights' raw bits and 8 bytes more
    std::size_t bits_size = 0;                ///< out: bytes written
};
void map_weights(MapJob& job);

/// Runs the coder backwards over `codes`; words are written downwards from `word`. Returns where they begin.
struct WordsJob {
    const std::uint16_t* codes;
    std::size_t weights;
    const RansSymbol* symbols;
    unsigned precision, lanes;
    std::uint32_t* state;
    std::uint16_t* word;
};
std::uint16_t* code_words(const WordsJob& job);

}  // namespace tenpak::delta

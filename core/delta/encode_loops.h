// SPDX-License-Identifier: Apache-2.0
// The encoder's loops over weights, in the plain version and compiled once more for newer CPUs (lzcnt, shlx, AVX-512
// where the compiler can use it). The same source, so the same result.
#pragma once
#include <cstddef>
#include <cstdint>

#include "core/delta/payload.h"
#include "core/delta/rans.h"

namespace tenpak::delta {

/// Lowest and highest exponent of the predicted values.
struct ExponentRange {
    std::uint32_t first = 0, last = 0;
};
ExponentRange exponent_range(const std::byte* predicted, std::size_t weights, const FloatLayout& layout);

/// index[i] = (key - first_key) x `stride` + its anchored symbol at the finest detail; distance[i] = |v|, which holds
/// the raw bits of any anchored symbol in its low bits. Keys: the exponents of `predicted`, or `keys` where given.
struct IndexJob {
    const std::byte* raw;
    const std::byte* predicted;
    const std::uint8_t* keys;
    std::size_t weights;
    FloatLayout layout;
    std::uint32_t first_key, stride, cross_begin;
    std::uint32_t* index;
    void* distance;                           ///< as wide as the weights
};
void index_weights(const IndexJob& job);

/// codes[i] = code_of[index[i]], which is context << 8 | a decoder's code of the symbol. kAbsolute in code_of: the
/// context has absolute symbols; then `absolute_code` of context and symbol is taken, and the distance becomes x.
inline constexpr std::uint16_t kAbsolute = 0x8000;
struct MapJob {
    const std::byte* raw;
    const std::byte* predicted;               ///< may be null: all absolute, context 0
    std::size_t weights;
    FloatLayout layout;
    unsigned absolute_shift;                  ///< mantissa bits that absolute symbols at the finest detail leave out
    const std::uint32_t* index;
    const std::uint16_t* code_of;             ///< by index; kAbsolute | context for absolute contexts
    const std::uint8_t* absolute_code;        ///< [context * absolute_stride + absolute symbol]
    std::size_t absolute_stride;
    std::uint16_t* codes;
    void* distance;
};
void map_weights(const MapJob& job);

/// Runs the coder backwards over `codes`; words are written downwards from `word`. Returns where they begin.
struct WordsJob {
    const std::uint16_t* codes;
    const void* distance;
    unsigned bytes;                           ///< of a weight and its distance
    std::size_t weights;
    const RansSymbol* symbols;                ///< [code]
    unsigned precision, lanes;
    bool any_long;                            ///< a symbol has more than kRawStep raw bits
    std::uint32_t* state;
    std::uint16_t* word;
};
std::uint16_t* code_words(const WordsJob& job);

}  // namespace tenpak::delta

// SPDX-License-Identifier: Apache-2.0
// rANS (J. Duda, "Asymmetric numeral systems", 2013) with 32-bit states and 16-bit words, many states interleaved. Raw
// bits go through the states as well: n equiprobable bits are the low n bits of a state.
// Weight i belongs to state i mod lanes. The decoder works in rounds of 32 weights (or one a state, where there are fewer
// states), the encoder backwards.
#pragma once
#include <bit>
#include <cstdint>

namespace tenpak::delta {

inline constexpr std::uint32_t kRansLow = 1u << 16;  ///< a state is in [2^16, 2^32) between steps
inline constexpr unsigned kMaxLanes = 128;
inline constexpr unsigned kRound = 32;                ///< weights whose steps are taken together
inline constexpr unsigned kRawStep = 16;             ///< raw bits that one step takes at most

/// What the encoder needs of a symbol. Division by the frequency is a multiplication: exact for the states that occur.
struct RansSymbol {
    std::uint64_t reciprocal = 0;
    std::uint16_t frequency = 0, cumulative = 0;
    std::uint8_t shift = 0, raw_bits = 0;

    RansSymbol() = default;
    RansSymbol(std::uint32_t f, std::uint32_t c, unsigned precision, unsigned bits)
        : frequency(static_cast<std::uint16_t>(f)), cumulative(static_cast<std::uint16_t>(c)),
          shift(static_cast<std::uint8_t>(32 - precision + 2 * static_cast<unsigned>(std::bit_width(f - 1)))), raw_bits(static_cast<std::uint8_t>(bits)) {
        // ceil(2^s / f) with s = 32 - P + 2 ceil(log2 f). A state is below f 2^(32-P) here, so the error, below f, times
        // the state stays below 2^s; and the product fits 64 bits, since s <= 32 + P.
        reciprocal = ((std::uint64_t{1} << shift) + f - 1) / f;
    }
};

/// One step back: the state before the decoder takes the symbol. A word may go out to word[-1], which is then the new
/// `word`; word[-1] is written in any case: whether one goes out is too random for a branch.
inline std::uint32_t put_symbol(std::uint32_t state, const RansSymbol& s, unsigned precision, std::uint16_t*& word) {
    const bool out = state >> (32 - precision) >= s.frequency;
    word[-1] = static_cast<std::uint16_t>(state);
    word -= out ? 1 : 0;
    state >>= out ? 16 : 0;
    const auto q = static_cast<std::uint32_t>(state * s.reciprocal >> s.shift);
    return (q << precision) + (state - q * s.frequency) + s.cumulative;
}
/// The state before the decoder takes `count` raw bits, at most kRawStep. Of `bits` the low `count` count.
inline std::uint32_t put_raw(std::uint32_t state, std::uint32_t bits, unsigned count, std::uint16_t*& word) {
    const bool out = std::uint64_t{state} << count >> 32 != 0;
    word[-1] = static_cast<std::uint16_t>(state);
    word -= out ? 1 : 0;
    state >>= out ? 16 : 0;
    return state << count | (bits & ((1u << count) - 1));
}

/// A decoder's slot in 32 bits: frequency (below 2^12) | code of the symbol << 12 | place in the symbol << 20.
inline std::uint32_t rans_slot(std::uint32_t frequency, std::uint32_t place, std::uint32_t code) { return frequency | code << 12 | place << 20; }

}  // namespace tenpak::delta

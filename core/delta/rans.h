// SPDX-License-Identifier: Apache-2.0
// rANS (J. Duda, "Asymmetric numeral systems", 2013) with 31-bit states and 16-bit words, many states interleaved.
// Symbol i belongs to state i mod lanes; the decoder takes words in symbol order, so the encoder runs backwards.
#pragma once
#include <bit>
#include <cstdint>

namespace tenpak::delta {

inline constexpr std::uint32_t kRansLow = 1u << 15;  ///< a state is in [2^15, 2^31)
inline constexpr unsigned kMaxLanes = 32;

/// Division by a frequency as a multiplication: exact for states below 2^31.
struct RansSymbol {
    std::uint32_t reciprocal = 0;
    std::uint32_t limit = 0;       ///< states from here on put out a word first
    std::uint16_t frequency = 0, cumulative = 0;
    std::uint8_t shift = 0;

    RansSymbol() = default;
    RansSymbol(std::uint32_t f, std::uint32_t c, unsigned precision)
        : frequency(static_cast<std::uint16_t>(f)), cumulative(static_cast<std::uint16_t>(c)),
          shift(static_cast<std::uint8_t>(31 + std::bit_width(f - 1))) {
        // ceil(2^(31+s) / f) with s = ceil(log2 f): the error is below f <= 2^s, times a state below 2^31 below 2^(31+s).
        reciprocal = static_cast<std::uint32_t>(((std::uint64_t{1} << shift) + f - 1) / f);
        limit = f << (31 - precision);  // at most 2^31: such a symbol costs nothing and puts nothing out
    }
    /// New state. A word may go out to word[-1], which is then the new `word`; word[-1] is written in any case: whether
    /// one goes out is too random for a branch.
    std::uint32_t put(std::uint32_t state, unsigned precision, std::uint16_t*& word) const {
        const bool out = state >= limit;
        word[-1] = static_cast<std::uint16_t>(state);
        word -= out ? 1 : 0;
        state >>= out ? 16 : 0;
        const auto q = static_cast<std::uint32_t>(std::uint64_t{state} * reciprocal >> shift);
        return (q << precision) + (state - q * frequency) + cumulative;
    }
};

/// A decoder's slot in 32 bits: frequency - 1 | place in the symbol << 12 | number of the symbol << 24.
inline std::uint32_t rans_slot(std::uint32_t frequency, std::uint32_t place, std::uint32_t symbol) {
    return (frequency - 1) | place << 12 | symbol << 24;
}

}  // namespace tenpak::delta

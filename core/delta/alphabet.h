// SPDX-License-Identifier: Apache-2.0
// The symbols of a weight. With m(.) the magnitude (the bits without the sign), a weight is coded as
//   x = weight XOR sign(prediction)       (so the sign bit of x says "the sign changed")
//   anchored symbols:  v = m(x) - m(prediction), with and without sign change, in quasi-logarithmic buckets of |v|: exact
//                      below 2^(k+1), then 2^k buckets an octave; the place inside a bucket is stored as raw bits
//   absolute symbols:  sign, exponent and the first k mantissa bits of x itself, the other mantissa bits raw
// The magnitude as an integer is monotone in the value's size, so small changes are small v, across binades too.
// Absolute symbols serve where the prediction says nothing: weights without one, or far smaller than their change.
// Buckets of a smaller k are unions of those of a larger one: histograms are taken once, at the finest k.
#pragma once
#include <bit>
#include <cstdint>
#include <vector>

#include "core/delta/float_layout.h"

namespace tenpak::delta {

inline constexpr unsigned kFineDetail = 3;      ///< k of anchored symbols without sign change in histograms
inline constexpr unsigned kCrossDetail = 1;     ///< k of those with sign change, always: they are spread wide
inline constexpr unsigned kFineAbsolute = 2;    ///< mantissa bits in absolute symbols in histograms
/// Buckets of anchored symbols without sign change end here, so that the symbols of all contexts fit a decoder's codes.
inline constexpr unsigned kMaxBuckets = 64;

/// Bucket of a magnitude |v|, and its first value and width.
inline std::uint32_t bucket_of(std::uint32_t a, unsigned k) {
    // Raw bits of the bucket; no branch, since differences are too random to predict.
    const auto raw = static_cast<unsigned>(std::bit_width(a | 1u << k)) - 1 - k;
    return (raw << k) + (a >> raw);
}
inline unsigned bucket_bits(std::uint32_t b, unsigned k) { return b >> k > 1 ? (b >> k) - 1 : 0; }
inline std::uint32_t bucket_begin(std::uint32_t b, unsigned k) {
    const unsigned bits = bucket_bits(b, k);
    return (b - (bits << k)) << bits;
}

/// The values of a symbol: begin + r for r in [0, 2^raw_bits), negated if `negative`; relative to m(prediction) if
/// anchored; modulo 2^width. Begin has the sign bit where the sign changes (which negation leaves as it is).
struct Interval {
    std::uint32_t begin = 0;
    std::uint8_t raw_bits = 0;
    bool negative = false;
    enum class Kind : std::uint8_t { kKept, kCross, kAbsolute } kind = Kind::kKept;  ///< kept: anchored, without sign change
};

/// One numbering of symbols for a layout: either anchored or absolute, at detail k. Numbers come in pairs that mirror
/// each other (+v and -v; sign kept and sign changed), which the table coder uses.
class Alphabet {
   public:
    /// `all_buckets`: for histograms, without the limit kMaxBuckets.
    Alphabet(const FloatLayout& layout, bool anchored, unsigned k, bool all_buckets = false);

    bool anchored() const { return anchored_; }
    unsigned k() const { return k_; }
    std::uint32_t size() const { return size_; }
    /// Numbers below this one are anchored symbols without sign change; equals size() for absolute alphabets.
    std::uint32_t cross_begin() const { return cross_begin_; }
    Interval interval(std::uint32_t symbol) const;

    /// `v` = m(x) - m(prediction); `cross` = the sign changed. Only for buckets that the alphabet has.
    std::uint32_t anchored_symbol(std::int32_t v, bool cross) const {
        const std::uint32_t a = v < 0 ? 0u - static_cast<std::uint32_t>(v) : static_cast<std::uint32_t>(v);
        if (!cross) return 2 * bucket_of(a, k_) - (v > 0 ? 1u : 0u);
        return cross_begin_ + 2 * bucket_of(a, kCrossDetail) + (v < 0 ? 1u : 0u);
    }
    /// Two halves, interleaved: 2 x (exponent and k mantissa bits) + sign changed.
    std::uint32_t absolute_symbol(std::uint32_t x) const {
        const std::uint32_t sign = layout_.sign_mask();
        return ((x & (sign - 1)) >> (layout_.mantissa - k_)) * 2 + ((x & sign) != 0 ? 1u : 0u);
    }

   private:
    FloatLayout layout_;
    bool anchored_;
    unsigned k_;
    std::uint32_t cross_begin_ = 0, size_ = 0;
};

/// The finest detail of absolute symbols that a layout allows.
inline unsigned fine_absolute(const FloatLayout& l) { return l.mantissa < kFineAbsolute ? l.mantissa : kFineAbsolute; }
/// For each symbol of `fine` its symbol in the coarser `coarse` (same kind, smaller or equal k); kNoSymbol where it has none.
inline constexpr std::uint16_t kNoSymbol = 0xffff;
std::vector<std::uint16_t> coarsening(const Alphabet& fine, const Alphabet& coarse);

}  // namespace tenpak::delta

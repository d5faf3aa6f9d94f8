// SPDX-License-Identifier: Apache-2.0
// The symbols of a weight. With m(.) the magnitude (the bits without the sign), a fine-tuned weight is coded as
//   x = fine_tune XOR sign(base)          (so the sign bit of x says "the sign changed")
//   anchored symbols:  v = m(x) - m(base), with and without sign change, in quasi-logarithmic buckets: exact below
//                      2^(k+1), then 2^k buckets an octave; the place inside a bucket is stored as raw bits
//   absolute symbols:  sign, exponent and the first k mantissa bits of x itself, the other mantissa bits raw
// The magnitude as an integer is monotone in the value's size, so small changes are small v, across binades too.
// Absolute symbols serve where the base says nothing: weights without a base, or far smaller than their change.
// Buckets of a smaller k are unions of those of a larger one: histograms are taken once, at the finest k.
#pragma once
#include <bit>
#include <cstdint>
#include <vector>

#include "core/delta/float_layout.h"

namespace tenpak::delta {

inline constexpr unsigned kFineDetail = 3;      ///< k of anchored symbols without sign change in histograms
inline constexpr unsigned kFineCross = 1;       ///< k of those with sign change: they are spread wide anyway
inline constexpr unsigned kFineAbsolute = 2;    ///< mantissa bits in absolute symbols in histograms

/// Bucket of a magnitude |v|, and its first value and width.
inline std::uint32_t bucket_of(std::uint32_t a, unsigned k) {
    // Raw bits of the bucket; no branch, since differences are too random to predict.
    const auto raw = static_cast<unsigned>(std::bit_width(a | 1u << k)) - 1 - k;
    return (raw << k) + (a >> raw);
}
inline std::uint32_t bucket_begin(std::uint32_t b, unsigned k) {
    if (b < 2u << k) return b;
    const std::uint32_t r = b - (2u << k);
    return ((1u << k) + (r & ((1u << k) - 1))) << ((r >> k) + 1);
}
inline unsigned bucket_bits(std::uint32_t b, unsigned k) { return b < 2u << k ? 0 : ((b - (2u << k)) >> k) + 1; }

/// An interval of x: [start, start + 2^raw_bits), relative to m(base) if anchored, modulo 2^width.
struct Interval {
    std::uint32_t start = 0;
    std::uint8_t raw_bits = 0;
};

/// One numbering of symbols for a layout: either anchored or absolute, at detail k. Numbers come in pairs that mirror
/// each other (+v and -v; sign kept and sign changed), which the table coder uses.
class Alphabet {
   public:
    Alphabet(const FloatLayout& layout, bool anchored, unsigned k);

    bool anchored() const { return anchored_; }
    unsigned k() const { return k_; }
    std::uint32_t size() const { return size_; }
    /// Numbers below this one are anchored symbols without sign change; equals size() for absolute alphabets.
    std::uint32_t cross_begin() const { return cross_begin_; }
    Interval interval(std::uint32_t symbol) const;

    /// `v` = m(x) - m(base); `cross` = the sign changed.
    std::uint32_t anchored_symbol(std::int32_t v, bool cross) const {
        const std::uint32_t a = v < 0 ? 0u - static_cast<std::uint32_t>(v) : static_cast<std::uint32_t>(v);
        if (!cross) return 2 * bucket_of(a, k_) - (v > 0 ? 1u : 0u);
        return cross_begin_ + 2 * bucket_of(a, cross_k_) + (v < 0 ? 1u : 0u);
    }
    /// Two halves, interleaved: 2 x (exponent and k mantissa bits) + sign changed.
    std::uint32_t absolute_symbol(std::uint32_t x) const {
        const std::uint32_t sign = layout_.sign_mask();
        return ((x & (sign - 1)) >> (layout_.mantissa - k_)) * 2 + ((x & sign) != 0 ? 1u : 0u);
    }

   private:
    FloatLayout layout_;
    bool anchored_;
    unsigned k_, cross_k_ = 0;
    std::uint32_t cross_begin_ = 0, size_ = 0;
};

/// The finest detail of absolute symbols that a layout allows.
inline unsigned fine_absolute(const FloatLayout& l) { return l.mantissa < kFineAbsolute ? l.mantissa : kFineAbsolute; }
/// For each symbol of `fine` its symbol in the coarser `coarse` (same kind, smaller or equal k).
std::vector<std::uint16_t> coarsening(const Alphabet& fine, const Alphabet& coarse);

}  // namespace tenpak::delta

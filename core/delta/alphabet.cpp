// SPDX-License-Identifier: Apache-2.0
#include "core/delta/alphabet.h"

#include <algorithm>

namespace tenpak::delta {

Alphabet::Alphabet(const FloatLayout& layout, bool anchored, unsigned k, bool all_buckets) : layout_(layout), anchored_(anchored), k_(k) {
    if (anchored) {
        const std::uint32_t largest = layout.sign_mask() - 1, buckets = bucket_of(largest, k);
        cross_begin_ = 2 * (all_buckets ? buckets : std::min<std::uint32_t>(buckets, kMaxBuckets - 1)) + 1;
        size_ = cross_begin_ + 2 * (bucket_of(largest, kCrossDetail) + 1);
    } else {
        k_ = std::min(k, layout.mantissa);
        size_ = 1u << (1 + layout.exponent_bits + k_);
        cross_begin_ = size_;
    }
}

Interval Alphabet::interval(std::uint32_t symbol) const {
    if (!anchored_) {
        const std::uint32_t value = symbol / 2 << (layout_.mantissa - k_);
        return {value | ((symbol & 1u) != 0 ? layout_.sign_mask() : 0u), static_cast<std::uint8_t>(layout_.mantissa - k_), false, Interval::Kind::kAbsolute};
    }
    const bool cross = symbol >= cross_begin_;
    const unsigned k = cross ? kCrossDetail : k_;
    const std::uint32_t bucket = cross ? (symbol - cross_begin_) / 2 : (symbol + 1) / 2;
    const bool negative = cross ? ((symbol - cross_begin_) & 1u) != 0 : symbol != 0 && (symbol & 1u) == 0;
    return {bucket_begin(bucket, k) + (cross ? layout_.sign_mask() : 0u), static_cast<std::uint8_t>(bucket_bits(bucket, k)), negative,
            cross ? Interval::Kind::kCross : Interval::Kind::kKept};
}

std::vector<std::uint16_t> coarsening(const Alphabet& fine, const Alphabet& coarse) {
    std::vector<std::uint16_t> to(fine.size(), kNoSymbol);
    for (std::uint32_t s = 0; s < fine.size(); ++s) {
        if (!fine.anchored()) {
            const unsigned shift = fine.k() - coarse.k();
            to[s] = static_cast<std::uint16_t>((s / 2 >> shift) * 2 + (s & 1u));
        } else if (s >= fine.cross_begin()) {
            to[s] = static_cast<std::uint16_t>(s - fine.cross_begin() + coarse.cross_begin());
        } else {
            const std::uint32_t bucket = bucket_of(bucket_begin((s + 1) / 2, fine.k()), coarse.k());
            if (2 * bucket < coarse.cross_begin()) to[s] = static_cast<std::uint16_t>(2 * bucket - (s & 1u));
        }
    }
    return to;
}

}  // namespace tenpak::delta

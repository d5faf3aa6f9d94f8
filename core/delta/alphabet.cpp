// SPDX-License-Identifier: Apache-2.0
#include "core/delta/alphabet.h"

#include <algorithm>

namespace tenpak::delta {

Alphabet::Alphabet(const FloatLayout& layout, bool anchored, unsigned k) : layout_(layout), anchored_(anchored), k_(k) {
    if (anchored) {
        cross_k_ = std::min(k, kFineCross);
        const std::uint32_t largest = layout.sign_mask() - 1;
        cross_begin_ = 2 * bucket_of(largest, k) + 1;
        size_ = cross_begin_ + 2 * (bucket_of(largest, cross_k_) + 1);
    } else {
        k_ = std::min(k, layout.mantissa);
        size_ = 1u << (1 + layout.exponent_bits + k_);
        cross_begin_ = size_;
    }
}

Interval Alphabet::interval(std::uint32_t symbol) const {
    if (!anchored_) {
        const std::uint32_t value = symbol / 2 << (layout_.mantissa - k_);
        return {value | ((symbol & 1u) != 0 ? layout_.sign_mask() : 0u), static_cast<std::uint8_t>(layout_.mantissa - k_)};
    }
    const bool cross = symbol >= cross_begin_;
    const unsigned k = cross ? cross_k_ : k_;
    const std::uint32_t bucket = cross ? (symbol - cross_begin_) / 2 : (symbol + 1) / 2;
    const bool negative = cross ? ((symbol - cross_begin_) & 1u) != 0 : (symbol & 1u) == 0;
    const std::uint32_t begin = bucket_begin(bucket, k);
    const unsigned bits = bucket_bits(bucket, k);
    const std::uint32_t start = negative ? 0u - (begin + (1u << bits) - 1) : begin;
    return {start + (cross ? layout_.sign_mask() : 0u), static_cast<std::uint8_t>(bits)};
}

std::vector<std::uint16_t> coarsening(const Alphabet& fine, const Alphabet& coarse) {
    std::vector<std::uint16_t> to(fine.size());
    for (std::uint32_t s = 0; s < fine.size(); ++s) {
        if (!fine.anchored()) {
            const unsigned shift = fine.k() - coarse.k();
            to[s] = static_cast<std::uint16_t>((s / 2 >> shift) * 2 + (s & 1u));
            continue;
        }
        const bool cross = s >= fine.cross_begin();
        const std::uint32_t bucket = cross ? (s - fine.cross_begin()) / 2 : (s + 1) / 2;
        const bool negative = cross ? ((s - fine.cross_begin()) & 1u) != 0 : (s & 1u) == 0;
        const std::uint32_t a = bucket_begin(bucket, cross ? std::min(fine.k(), kFineCross) : fine.k());
        const auto v = static_cast<std::int32_t>(a);
        // -0 with a sign change is a symbol of its own slot that no encoder uses.
        to[s] = static_cast<std::uint16_t>(coarse.anchored_symbol(negative ? -v : v, cross));
    }
    return to;
}

}  // namespace tenpak::delta

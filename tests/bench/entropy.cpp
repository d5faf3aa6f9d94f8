// SPDX-License-Identifier: Apache-2.0
#include "tests/bench/entropy.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <map>
#include <numbers>
#include <unordered_map>

namespace tenpak::bench {

namespace {

constexpr std::uint64_t kAlone = 65536;  ///< weights from which a tensor has distributions of its own
constexpr double kWeightsPerCell = 20;
constexpr unsigned kDetail = 4;  ///< buckets: 2^kDetail an octave

/// Order-preserving unsigned value of the float's bits.
std::uint32_t ordered(std::uint32_t u, unsigned bits) {
    const std::uint32_t sign = 1u << (bits - 1), all = sign | (sign - 1);
    return (u & sign) != 0 ? ~u & all : u | sign;
}
std::uint32_t load(std::span<const std::byte> s, std::size_t i, std::size_t width) {
    std::uint32_t v = 0;
    std::memcpy(&v, s.data() + i * width, width);
    return v;
}

/// (exponent, difference) -> weights. 16-bit types have few cells: a hash map; 32-bit ones a cell for nearly every
/// weight: sorted.
class Counts {
 public:
    void add(const EntropyInput& t) {
        const std::size_t width = dtype_bits(t.type) / 8;
        const auto bits = static_cast<unsigned>(8 * width);
        const unsigned mantissa = t.type == DType::kBF16 ? 7 : t.type == DType::kF16 ? 10 : 23;
        for (std::size_t i = 0; i < t.fine.size() / width; ++i) {
            const std::uint32_t b = load(t.base, i, width), e = (b & ((1u << (bits - 1)) - 1)) >> mantissa;
            const auto d = static_cast<std::int64_t>(ordered(load(t.fine, i, width), bits)) - ordered(b, bits);
            const std::uint64_t key =
                static_cast<std::uint64_t>(e) << 33 | static_cast<std::uint64_t>(d + (std::int64_t{1} << 32));
            if (width == 2)
                ++few_[key];
            else
                many_.push_back(key);
            ++n_;
        }
    }
    void measure(double* plug_in, double* estimate) {
        Cells cells(few_.begin(), few_.end());
        std::sort(many_.begin(), many_.end());
        for (std::size_t i = 0; i < many_.size();) {
            std::size_t j = i;
            while (j < many_.size() && many_[j] == many_[i]) ++j;
            cells.emplace_back(many_[i], j - i);
            i = j;
        }
        const Bits exact = bits_of(cells, 33);
        *plug_in = exact.plug_in;
        if (static_cast<double>(cells.size()) * kWeightsPerCell <= static_cast<double>(n_)) {
            *estimate = exact.corrected;
            return;
        }
        std::unordered_map<std::uint64_t, std::uint64_t> buckets;
        double raw = 0;
        for (const auto& [key, n] : cells) {
            const std::int64_t d =
                static_cast<std::int64_t>(key & ((std::uint64_t{1} << 33) - 1)) - (std::int64_t{1} << 32);
            const auto a = static_cast<std::uint64_t>(d < 0 ? -d : d);
            const auto octave = static_cast<unsigned>(std::bit_width(a));
            const unsigned drop = octave > kDetail + 1 ? octave - kDetail - 1 : 0;
            raw += static_cast<double>(n) * drop;
            buckets[(key >> 33) << 48 | static_cast<std::uint64_t>(drop) << 40 | (a >> drop) << 1 |
                    (d < 0 ? 1u : 0u)] += n;
        }
        *estimate = bits_of(Cells(buckets.begin(), buckets.end()), 48).corrected + raw;
    }

 private:
    using Cells = std::vector<std::pair<std::uint64_t, std::uint64_t>>;
    struct Bits {
        double plug_in = 0, corrected = 0;
    };
    /// A key's bits from `shift` on are its context.
    static Bits bits_of(const Cells& cells, unsigned shift) {
        std::map<std::uint64_t, std::pair<std::uint64_t, std::uint64_t>> contexts;  // weights, cells
        for (const auto& [key, n] : cells) {
            auto& c = contexts[key >> shift];
            c.first += n;
            ++c.second;
        }
        Bits b;
        for (const auto& [key, n] : cells)
            b.plug_in -= static_cast<double>(n) *
                         std::log2(static_cast<double>(n) / static_cast<double>(contexts[key >> shift].first));
        b.corrected = b.plug_in;
        for (const auto& [exponent, c] : contexts)
            b.corrected += static_cast<double>(c.second - 1) / 2 * std::numbers::log2e;
        return b;
    }
    std::unordered_map<std::uint64_t, std::uint64_t> few_;
    std::vector<std::uint64_t> many_;
    std::uint64_t n_ = 0;
};

}  // namespace

Entropy conditional_entropy(const std::vector<EntropyInput>& tensors) {
    Entropy h;
    std::map<DType, Counts> pooled;
    for (const EntropyInput& t : tensors) {
        if (t.type != DType::kBF16 && t.type != DType::kF16 && t.type != DType::kF32) {
            h.plug_in += static_cast<double>(t.fine.size());
            h.estimate += static_cast<double>(t.fine.size());
            continue;
        }
        if (std::memcmp(t.fine.data(), t.base.data(), t.fine.size()) == 0)
            continue;  // "identical" is one symbol for all of it
        Counts own;
        own.add(t);
        double plug_in = 0, estimate = 0;
        own.measure(&plug_in, &estimate);
        h.plug_in += plug_in / 8;
        if (t.fine.size() * 8 / dtype_bits(t.type) >= kAlone)
            h.estimate += estimate / 8;
        else
            pooled[t.type].add(t);
    }
    for (auto& [type, counts] : pooled) {
        double plug_in = 0, estimate = 0;
        counts.measure(&plug_in, &estimate);
        h.estimate += estimate / 8;
    }
    return h;
}

}  // namespace tenpak::bench

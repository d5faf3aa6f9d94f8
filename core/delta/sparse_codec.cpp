// SPDX-License-Identifier: Apache-2.0
#include "core/delta/sparse_codec.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cstdint>
#include <cstring>
#include <optional>
#include <vector>

#include "core/delta/payload.h"
#include "core/delta/range_coder.h"

namespace tenpak::delta {

namespace {

Error malformed(const char* what) { return make_error(ErrorCode::kMalformed, what, {}, "The block is damaged or made by a faulty program"); }

/// Elias gamma with learned width and learned highest bits: gaps are about exponentially distributed.
struct WideNumber {
    std::array<AdaptiveBit, 64> longer;
    std::array<AdaptiveBit, 64> first;
    std::array<std::array<AdaptiveBit, 2>, 64> second;

    void put(RangeEncoder& rc, std::uint64_t v) {
        const std::uint64_t w = v + 1;
        const auto width = static_cast<unsigned>(std::bit_width(w)) - 1;
        for (unsigned n = 0; n < 63; ++n) {
            rc.bit(longer[n], n < width);
            if (n == width) break;
        }
        if (width == 0) return;
        const bool top = (w >> (width - 1) & 1u) != 0;
        rc.bit(first[width], top);
        if (width == 1) return;
        rc.bit(second[width][top ? 1 : 0], (w >> (width - 2) & 1u) != 0);
        const unsigned rest = width - 2;
        if (rest > 32) rc.direct(static_cast<std::uint32_t>(w >> 32 & ((std::uint64_t{1} << (rest - 32)) - 1)), rest - 32);
        rc.direct(static_cast<std::uint32_t>(w), std::min(rest, 32u));
    }
    std::uint64_t get(RangeDecoder& rc) {
        unsigned width = 0;
        while (width < 63 && rc.bit(longer[width])) ++width;
        if (width == 0) return 0;
        std::uint64_t w = 2;
        const bool top = rc.bit(first[width]);
        w |= top ? 1 : 0;
        if (width == 1) return w - 1;
        w = w << 1 | (rc.bit(second[width][top ? 1 : 0]) ? 1 : 0);
        const unsigned rest = width - 2;
        if (rest > 32) w = w << (rest - 32) | rc.direct(rest - 32);
        const unsigned low = std::min(rest, 32u);
        return (w << low | rc.direct(low)) - 1;
    }
};

struct Models {
    WideNumber gap;
    std::array<WideNumber, 4> size;
    std::array<AdaptiveBit, 2> negative;
};

template <class Word>
Word load(const std::byte* p, std::size_t i) {
    Word w;
    std::memcpy(&w, p + i * sizeof(Word), sizeof(Word));
    return w;
}

/// Places where the blocks differ; none where they are more than `most`.
template <class Word>
std::optional<std::vector<std::uint32_t>> places(std::span<const std::byte> raw, std::span<const std::byte> predicted, std::size_t most) {
    std::vector<std::uint32_t> at;
    const std::size_t n = raw.size() / sizeof(Word);
    constexpr std::size_t kStep = 64;
    for (std::size_t begin = 0; begin < n; begin += kStep) {
        const std::size_t end = std::min(n, begin + kStep);
        if (std::memcmp(raw.data() + begin * sizeof(Word), predicted.data() + begin * sizeof(Word), (end - begin) * sizeof(Word)) == 0) continue;
        for (std::size_t i = begin; i < end; ++i)
            if (load<Word>(raw.data(), i) != load<Word>(predicted.data(), i)) at.push_back(static_cast<std::uint32_t>(i));
        if (at.size() > most) return std::nullopt;
    }
    return at;
}

template <class Word>
bool encode(std::span<const std::byte> raw, std::span<const std::byte> predicted, Bytes& out) {
    constexpr unsigned kBits = 8 * sizeof(Word);
    const auto at = places<Word>(raw, predicted, raw.size() / sizeof(Word) / 16);
    if (!at || at->empty()) return false;
    out.push_back(static_cast<std::byte>(std::countr_zero(sizeof(Word))));
    put_varint(out, at->size());
    RangeEncoder rc(out);
    Models m;
    std::uint64_t next = 0;
    unsigned before = 0;
    for (const std::uint32_t i : *at) {
        m.gap.put(rc, i - next);
        next = std::uint64_t{i} + 1;
        const Word p = load<Word>(predicted.data(), i), d = static_cast<Word>(load<Word>(raw.data(), i) - p);
        const bool negative = d >> (kBits - 1) != 0;
        rc.bit(m.negative[static_cast<std::size_t>(p >> (kBits - 1))], negative);
        const std::uint64_t size = negative ? static_cast<Word>(0 - d) : d;
        m.size[before].put(rc, size - 1);
        before = std::min(static_cast<unsigned>(std::bit_width(size)), 3u);
    }
    rc.finish();
    return true;
}

template <class Word>
Status decode(std::span<const std::byte> stream, std::uint64_t count, std::span<std::byte> raw) {
    constexpr unsigned kBits = 8 * sizeof(Word);
    constexpr std::uint64_t kLargest = std::uint64_t{1} << (kBits - 1);
    const std::uint64_t n = raw.size() / sizeof(Word);
    RangeDecoder rc(stream);
    Models m;
    std::uint64_t next = 0;
    unsigned before = 0;
    for (std::uint64_t k = 0; k < count; ++k) {
        const std::uint64_t gap = m.gap.get(rc);
        if (gap >= n - next) return malformed("a sparse block changes elements behind its end");
        const auto i = static_cast<std::size_t>(next + gap);
        next = std::uint64_t{i} + 1;
        const Word p = load<Word>(raw.data(), i);
        const bool negative = rc.bit(m.negative[static_cast<std::size_t>(p >> (kBits - 1))]);
        const std::uint64_t size = m.size[before].get(rc) + 1;
        if (size > kLargest || (size == kLargest && !negative)) return malformed("a sparse block's difference is out of range");
        before = std::min(static_cast<unsigned>(std::bit_width(size)), 3u);
        const auto w = static_cast<Word>(negative ? p - size : p + size);
        std::memcpy(raw.data() + i * sizeof(Word), &w, sizeof(Word));
    }
    if (!rc.at_end()) return malformed("a sparse block is longer than its changes");
    return {};
}

}  // namespace

bool sparse_encode(std::span<const std::byte> raw, std::span<const std::byte> predicted, std::size_t element, Bytes& out) {
    if (raw.empty() || raw.size() != predicted.size() || raw.size() > kMaxBlockBytes || element == 0 || raw.size() % element != 0) return false;
    switch (element) {
        case 1: return encode<std::uint8_t>(raw, predicted, out);
        case 2: return encode<std::uint16_t>(raw, predicted, out);
        case 4: return encode<std::uint32_t>(raw, predicted, out);
        case 8: return encode<std::uint64_t>(raw, predicted, out);
        default: return false;
    }
}

Status sparse_decode(std::span<const std::byte> stored, std::span<const std::byte> predicted, std::span<std::byte> raw) {
    if (stored.empty() || static_cast<unsigned>(stored[0]) > 3) return malformed("a sparse block has an unknown kind of elements");
    const unsigned log = static_cast<unsigned>(stored[0]);
    if (raw.empty() || raw.size() > kMaxBlockBytes || raw.size() >> log << log != raw.size()) return malformed("a sparse block does not hold whole elements");
    if (predicted.size() != raw.size()) return malformed("a sparse block and its base differ in size");
    auto rest = stored.subspan(1);
    std::uint64_t count = 0;
    if (!get_varint(rest, count) || count == 0 || count > raw.size() >> log) return malformed("a sparse block has an impossible number of changes");
    std::memcpy(raw.data(), predicted.data(), raw.size());
    switch (log) {
        case 0: return decode<std::uint8_t>(rest, count, raw);
        case 1: return decode<std::uint16_t>(rest, count, raw);
        case 2: return decode<std::uint32_t>(rest, count, raw);
        default: return decode<std::uint64_t>(rest, count, raw);
    }
}

}  // namespace tenpak::delta

// SPDX-License-Identifier: Apache-2.0
// The model's bytes: FORMAT.md "Model".
#include <algorithm>
#include <array>

#include "core/delta/prediction.h"
#include "core/delta/range_coder.h"
#include "core/delta/weight_model.h"

namespace tenpak::delta {

namespace {

constexpr unsigned kMaxRoot = 8191;
constexpr unsigned kKinds = 3;  // first of a pair, second of a pair given the first, second given a dead first

/// The adaptive bits of a number: Elias gamma with learned length.
struct NumberModel {
    std::array<AdaptiveBit, 16> longer;
    AdaptiveBit top;
};
struct ResidualModel {
    AdaptiveBit same, up;
    NumberModel size;
};
struct TableModels {
    std::array<std::array<ResidualModel, 14>, kKinds> residual;  // by kind and bit width of the prediction
    NumberModel begin, count;
    AdaptiveBit anchored, cross, new_context;
};

/// One code path for both directions keeps writer and reader in step.
struct Writer {
    RangeEncoder rc;
    bool bit(AdaptiveBit& m, bool v) {
        rc.bit(m, v);
        return v;
    }
    std::uint32_t direct(std::uint32_t v, unsigned n) {
        rc.direct(v, n);
        return v;
    }
};
struct Reader {
    RangeDecoder rc;
    bool bit(AdaptiveBit& m, bool) { return rc.bit(m); }
    std::uint32_t direct(std::uint32_t, unsigned n) { return rc.direct(n); }
};

/// v >= 0, below 2^15.
template <class Io>
std::uint32_t number(Io& io, NumberModel& m, std::uint32_t v) {
    const auto width = static_cast<unsigned>(std::bit_width(v + 1)) - 1;
    unsigned n = 0;
    while (n < 15 && io.bit(m.longer[n], n < width)) ++n;
    if (n == 0) return 0;
    std::uint32_t out = 1;
    const std::uint32_t w = v + 1;
    out = out << 1 | (io.bit(m.top, (w >> (n - 1) & 1u) != 0) ? 1u : 0u);
    if (n > 1) out = out << (n - 1) | io.direct(w & ((1u << (n - 1)) - 1), n - 1);
    return out - 1;
}

/// A root given its prediction. Out-of-range results come back as kMaxRoot + 1.
template <class Io>
std::uint32_t root(Io& io, TableModels& m, unsigned kind, std::uint32_t prediction, std::uint32_t v) {
    ResidualModel& r = m.residual[kind][static_cast<unsigned>(std::bit_width(prediction))];
    if (io.bit(r.same, v == prediction)) return prediction;
    const bool up = prediction == 0 || io.bit(r.up, v > prediction);
    const std::uint32_t distance = 1 + number(io, r.size, (up ? v - prediction : prediction - v) - 1);
    if (!up) return distance > prediction ? kMaxRoot + 1 : prediction - distance;
    return std::min(prediction + distance, kMaxRoot + 1);
}

/// A run of pairs: symbols first, first + 1; roots dense over the alphabet, 0 where the symbol does not occur.
template <class Io>
bool pairs(Io& io, TableModels& m, const Alphabet& a, std::uint32_t first_symbol, std::uint32_t count, std::vector<std::uint16_t>& dense) {
    std::uint32_t previous = 0;
    unsigned previous_bits = 0;
    for (std::uint32_t i = 0; i < count; ++i) {
        const std::uint32_t s = first_symbol + 2 * i;
        const unsigned bits = a.interval(s).raw_bits;
        std::uint32_t p = previous;  // twice the width holds twice the count: sqrt(2) = 181/128 in roots
        if (i > 0 && bits > previous_bits) p = std::min<std::uint32_t>(p * 181 / 128, kMaxRoot);
        const std::uint32_t x = root(io, m, 0, p, dense[s]);
        if (x > kMaxRoot) return false;
        const std::uint32_t y = root(io, m, x == 0 ? 2 : 1, x == 0 ? std::min<std::uint32_t>(previous, 1) : x, dense[s + 1]);
        if (y > kMaxRoot) return false;
        dense[s] = static_cast<std::uint16_t>(x);
        dense[s + 1] = static_cast<std::uint16_t>(y);
        previous = (x + y + 1) / 2;
        previous_bits = bits;
    }
    return true;
}

/// Where the pairs that hold live symbols begin and how many there are.
std::pair<std::uint32_t, std::uint32_t> live_range(const std::vector<std::uint16_t>& dense, std::uint32_t begin, std::uint32_t end) {
    std::uint32_t first = end, last = begin;
    for (std::uint32_t s = begin; s < end; ++s) {
        if (dense[s] == 0) continue;
        first = std::min(first, s);
        last = s;
    }
    if (first == end) return {0, 0};
    return {(first - begin) / 2, (last - begin) / 2 - (first - begin) / 2 + 1};
}

template <class Io>
bool section(Io& io, TableModels& m, const Alphabet& a, std::uint32_t begin, std::uint32_t end, bool from_zero, std::vector<std::uint16_t>& dense) {
    auto [first, count] = live_range(dense, begin, end);
    if (from_zero && count > 0) {
        count += first;
        first = 0;
    }
    const std::uint32_t room = (end - begin) / 2;
    if (!from_zero) first = number(io, m.begin, first);
    count = number(io, m.count, count);
    if (first > room || count > room - first) return false;
    return pairs(io, m, a, begin + 2 * first, count, dense);
}

/// Roots of one context, dense over its alphabet.
template <class Io>
bool table(Io& io, TableModels& m, const Alphabet& a, std::vector<std::uint16_t>& dense) {
    if (!a.anchored()) return section(io, m, a, 0, a.size(), false, dense);
    const std::uint32_t zero = root(io, m, 0, 0, dense[0]);  // v = 0 stands alone
    if (zero > kMaxRoot) return false;
    dense[0] = static_cast<std::uint16_t>(zero);
    if (!section(io, m, a, 1, a.cross_begin(), true, dense)) return false;
    bool any = false;
    for (std::uint32_t s = a.cross_begin(); s < a.size(); ++s) any = any || dense[s] != 0;
    return !io.bit(m.cross, any) || section(io, m, a, a.cross_begin(), a.size(), false, dense);
}

/// Which context each key has: for exponents where a new one begins, for classes each one's number.
template <class Io>
bool contexts(Io& io, TableModels& m, WeightModel& model, std::size_t& count) {
    if (model.keys == KeyKind::kNone) {
        model.context_of.assign(1, 0);
        count = 1;
        return true;
    }
    if (model.keys == KeyKind::kGiven) {
        count = io.direct(static_cast<std::uint32_t>(count) - 1, 4) + 1;
        model.context_of.resize(kKeyRange);
        std::uint8_t previous = 0;
        for (std::uint8_t& c : model.context_of) {
            if (io.bit(m.new_context, c != previous)) c = static_cast<std::uint8_t>(io.direct(c, 4));
            else c = previous;
            if (c >= count) return false;
            previous = c;
        }
        return true;
    }
    const unsigned bits = model.layout.exponent_bits;
    model.first_key = io.direct(model.first_key, bits);
    const std::uint32_t more = io.direct(static_cast<std::uint32_t>(model.context_of.size()) - 1, bits);
    if (model.first_key + more >= model.layout.exponents()) return false;
    model.context_of.resize(more + 1);
    for (std::uint32_t i = 1; i <= more; ++i) {
        const std::uint8_t previous = model.context_of[i - 1];
        model.context_of[i] = static_cast<std::uint8_t>(previous + (io.bit(m.new_context, model.context_of[i] != previous) ? 1 : 0));
        if (model.context_of[i] >= kMaxContexts) return false;
    }
    count = model.context_of.back() + std::size_t{1};
    return true;
}

Error malformed(const char* what) { return make_error(ErrorCode::kMalformed, what, {}, "The block is damaged or made by a faulty program"); }

}  // namespace

void write_model(const WeightModel& model, Bytes& out) {
    Writer io{RangeEncoder(out)};
    TableModels m;
    WeightModel copy;
    copy.layout = model.layout;
    copy.keys = model.keys;
    copy.first_key = model.first_key;
    copy.context_of = model.context_of;
    std::size_t count = model.contexts.size();
    contexts(io, m, copy, count);
    for (const ContextTable& t : model.contexts) {
        if (model.keys != KeyKind::kNone) io.bit(m.anchored, t.anchored);
        io.direct(t.k, 2);
        const Alphabet a(model.layout, t.anchored, t.k);
        std::vector<std::uint16_t> dense(a.size());
        for (std::size_t i = 0; i < t.live.size(); ++i) dense[t.live[i]] = t.root[i];
        table(io, m, a, dense);
    }
    io.rc.finish();
}

Result<WeightModel> read_model(std::span<const std::byte> in, const FloatLayout& layout, unsigned precision, KeyKind keys) {
    Reader io{RangeDecoder(in)};
    TableModels m;
    WeightModel model;
    model.layout = layout;
    model.precision = precision;
    model.keys = keys;
    model.context_of.resize(1);
    std::size_t count = 1;
    if (!contexts(io, m, model, count)) return malformed("a model's contexts are out of range");
    for (std::size_t c = 0; c < count; ++c) {
        ContextTable t;
        t.anchored = keys != KeyKind::kNone && io.bit(m.anchored, false);
        t.k = static_cast<std::uint8_t>(io.direct(0, 2));
        if (t.k > (t.anchored ? kFineDetail : fine_absolute(layout))) return malformed("a model's alphabet is unknown");
        const Alphabet a(layout, t.anchored, t.k);
        std::vector<std::uint16_t> dense(a.size());
        if (!table(io, m, a, dense)) return malformed("a model's table is out of range");
        for (std::uint32_t s = 0; s < dense.size(); ++s) {
            if (dense[s] == 0) continue;
            t.live.push_back(static_cast<std::uint16_t>(s));
            t.root.push_back(dense[s]);
        }
        if (t.live.empty() || t.live.size() > kMaxLive) return malformed("a model's context has no or too many symbols");
        set_frequencies(t, precision);
        model.contexts.push_back(std::move(t));
    }
    if (!Codes(model).fit) return malformed("a model has too many kinds of symbols");
    return model;
}

}  // namespace tenpak::delta

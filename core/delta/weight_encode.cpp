// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <memory>

#include "core/delta/bit_stream.h"
#include "core/delta/payload.h"
#include "core/delta/rans.h"
#include "core/delta/weight_coder.h"

namespace tenpak::delta {

namespace {

/// Low bits that are zero in every weight of both blocks.
template <class Word>
unsigned zero_low_bits(std::span<const std::byte> raw, std::span<const std::byte> base, unsigned cap) {
    std::uint32_t any = 0;
    const std::size_t n = raw.size() / sizeof(Word);
    for (std::size_t begin = 0; begin < n; begin += 4096) {  // weights with all bits in use end this at once
        const std::size_t end = std::min(n, begin + 4096);
        for (std::size_t i = begin; i < end; ++i) any |= load_weight<Word>(raw.data(), i);
        if (!base.empty())
            for (std::size_t i = begin; i < end; ++i) any |= load_weight<Word>(base.data(), i);
        if ((any & 1u) != 0) return 0;
    }
    return any == 0 ? cap : std::min(static_cast<unsigned>(std::countr_zero(any)), cap);
}

template <class Word>
struct Weight {
    std::uint32_t x, base_magnitude, exponent;
    Weight(const std::byte* raw, const std::byte* base, std::size_t i, const FloatLayout& l) {
        const std::uint32_t b = load_weight<Word>(base, i) >> l.dropped, sign = l.sign_mask();
        x = (load_weight<Word>(raw, i) >> l.dropped) ^ (b & sign);
        base_magnitude = b & (sign - 1);
        exponent = base_magnitude >> l.mantissa;
    }
    std::int32_t v(const FloatLayout& l) const { return static_cast<std::int32_t>(x & (l.sign_mask() - 1)) - static_cast<std::int32_t>(base_magnitude); }
};

template <class Word>
void count_with_base(FineCounts& counts, const FloatLayout& l, std::span<const std::byte> raw, std::span<const std::byte> base) {
    const std::size_t n = raw.size() / sizeof(Word), fine = counts.anchored.size();
    counts.with_base = true;
    counts.anchored_counts.assign(fine * l.exponents(), 0);
    // Two sets of counters: a run of equal symbols would wait for its own store otherwise.
    std::vector<std::uint32_t> second(fine * l.exponents());
    std::array<std::uint32_t*, 2> into{counts.anchored_counts.data(), second.data()};
    const Alphabet alphabet = counts.anchored;
    for (std::size_t i = 0; i < n; ++i) {
        const Weight<Word> w(raw.data(), base.data(), i, l);
        const std::uint32_t s = alphabet.anchored_symbol(w.v(l), (w.x & l.sign_mask()) != 0);
        ++into[i & 1u][w.exponent * fine + s];
    }
    for (std::size_t e = 0; e < l.exponents(); ++e) {
        std::uint32_t sum = 0;
        for (std::size_t s = e * fine; s < (e + 1) * fine; ++s) {
            counts.anchored_counts[s] += second[s];
            sum += counts.anchored_counts[s];
        }
        counts.weights[e] = sum;
    }
}

/// Exponents whose weights cost about as much as weights without a base: there absolute symbols may be better.
std::vector<std::uint8_t> nearly_unpredicted(const FineCounts& counts, const FloatLayout& l) {
    std::vector<std::uint8_t> flag(l.exponents());
    const std::size_t fine = counts.anchored.size();
    std::vector<std::uint8_t> raw_bits(fine);
    for (std::uint32_t s = 0; s < fine; ++s) raw_bits[s] = counts.anchored.interval(s).raw_bits;
    for (std::size_t e = 0; e < l.exponents(); ++e) {
        const double n = counts.weights[e];
        if (n == 0) continue;
        double bits = n * std::log2(n);
        for (std::size_t s = 0; s < fine; ++s) {
            const double c = counts.anchored_counts[e * fine + s];
            if (c > 0) bits += c * (raw_bits[s] - std::log2(c));
        }
        flag[e] = bits > n * (l.mantissa + 0.5) ? 1 : 0;
    }
    return flag;
}

template <class Word>
void count_absolute(FineCounts& counts, const FloatLayout& l, std::span<const std::byte> raw, std::span<const std::byte> base) {
    const std::size_t n = raw.size() / sizeof(Word), fine = counts.absolute.size();
    const Alphabet alphabet = counts.absolute;
    if (base.empty()) {
        counts.absolute_counts.assign(fine * l.exponents(), 0);
        counts.has_absolute[0] = 1;
        counts.weights[0] = static_cast<std::uint32_t>(n);
        for (std::size_t i = 0; i < n; ++i) ++counts.absolute_counts[alphabet.absolute_symbol(load_weight<Word>(raw.data(), i) >> l.dropped)];
        return;
    }
    counts.has_absolute = nearly_unpredicted(counts, l);
    if (std::find(counts.has_absolute.begin(), counts.has_absolute.end(), 1) == counts.has_absolute.end()) return;
    counts.absolute_counts.assign(fine * l.exponents(), 0);
    for (std::size_t i = 0; i < n; ++i) {
        const Weight<Word> w(raw.data(), base.data(), i, l);
        if (counts.has_absolute[w.exponent] != 0) ++counts.absolute_counts[w.exponent * fine + alphabet.absolute_symbol(w.x)];
    }
}

/// What the coding loops look up: [context][fine symbol] -> number among the live ones.
struct EncodeTables {
    std::vector<std::uint8_t> number;      ///< [context * stride + fine symbol]
    std::size_t stride = 0;
    std::vector<DecodeTables::Symbol> symbols;  ///< [context << 8 | number]
    std::vector<RansSymbol> rans;               ///< as symbols
    std::vector<std::uint8_t> context_of, anchored;

    EncodeTables(const WeightModel& model, const FineCounts& counts) {
        const DecodeTables d(model, counts.with_base);
        symbols = d.symbols;
        context_of = d.context_of;
        anchored = d.anchored;
        stride = std::max(counts.anchored.size(), counts.absolute.size());
        number.assign(stride * model.contexts.size(), 0);
        rans.resize(model.contexts.size() << 8);
        for (std::size_t c = 0; c < model.contexts.size(); ++c) {
            const ContextTable& t = model.contexts[c];
            const Alphabet alphabet(model.layout, t.anchored, t.k);
            std::vector<std::uint8_t> dense(alphabet.size());
            std::uint32_t cumulative = 0;
            for (std::size_t i = 0; i < t.live.size(); ++i) {
                dense[t.live[i]] = static_cast<std::uint8_t>(i);
                rans[c << 8 | i] = RansSymbol(t.frequency[i], cumulative, model.precision);
                cumulative += t.frequency[i];
            }
            const auto to = coarsening(t.anchored ? counts.anchored : counts.absolute, alphabet);
            for (std::size_t s = 0; s < to.size(); ++s) number[c * stride + s] = dense[to[s]];
        }
    }
};

/// Writes the raw bits and gives every weight's context << 8 | number.
template <class Word, bool kWithBase>
std::vector<std::uint16_t> map_weights(const EncodeTables& t, const FineCounts& counts, const FloatLayout& l,
                                       std::span<const std::byte> raw, std::span<const std::byte> base, Bytes& raw_bits) {
    const std::size_t n = raw.size() / sizeof(Word);
    std::vector<std::uint16_t> codes(n);
    BitWriter bits(raw_bits);
    const Alphabet anchored = counts.anchored, absolute = counts.absolute;
    for (std::size_t i = 0; i < n; ++i) {
        std::uint32_t x = 0, anchor = 0, c = 0, fine = 0;
        if constexpr (kWithBase) {
            const Weight<Word> w(raw.data(), base.data(), i, l);
            x = w.x;
            c = t.context_of[w.exponent];
            if (t.anchored[c] != 0) {
                anchor = w.base_magnitude;
                fine = anchored.anchored_symbol(w.v(l), (x & l.sign_mask()) != 0);
            } else {
                fine = absolute.absolute_symbol(x);
            }
        } else {
            x = load_weight<Word>(raw.data(), i) >> l.dropped;
            fine = absolute.absolute_symbol(x);
        }
        const std::uint32_t code = c << 8 | t.number[c * t.stride + fine];
        const DecodeTables::Symbol s = t.symbols[code];
        const std::uint32_t mask = (1u << s.raw_bits) - 1;
        bits.put((x - anchor - s.start) & mask, s.raw_bits);
        codes[i] = static_cast<std::uint16_t>(code);
    }
    bits.finish();
    return codes;
}

/// States, then words in the order in which the decoder takes them.
void put_words(const EncodeTables& t, const std::vector<std::uint16_t>& codes, unsigned precision, unsigned lanes, Bytes& out) {
    std::array<std::uint32_t, kMaxLanes> state;
    state.fill(kRansLow);
    std::vector<std::uint16_t> words;  // filled from the back
    words.resize(codes.size());
    std::size_t at = words.size();
    for (std::size_t i = codes.size(); i-- > 0;) {
        std::uint32_t& x = state[i & (lanes - 1)];
        x = t.rans[codes[i]].put(x, precision, [&](std::uint16_t w) { words[--at] = w; });
    }
    const std::size_t begin = out.size(), n = words.size() - at;
    out.resize(begin + 4 * lanes + 2 * n);
    std::memcpy(out.data() + begin, state.data(), 4 * lanes);
    if (n > 0) std::memcpy(out.data() + begin + 4 * lanes, words.data() + at, 2 * n);
}

}  // namespace

struct WeightEncoder::Analysis {
    std::span<const std::byte> raw, base;
    FloatLayout layout;
    FineCounts counts;
    WeightModel model;
    Bytes model_bytes;

    Analysis(std::span<const std::byte> r, std::span<const std::byte> b, const FloatLayout& l) : raw(r), base(b), layout(l), counts(l) {}

    template <class Word>
    void run() {
        if (!base.empty()) count_with_base<Word>(counts, layout, raw, base);
        count_absolute<Word>(counts, layout, raw, base);
        model = build_model(layout, counts, raw.size() / sizeof(Word));
        if (!model.contexts.empty()) write_model(model, counts.with_base, model_bytes);
    }
    template <class Word>
    std::vector<std::uint16_t> map(const EncodeTables& t, Bytes& raw_bits) const {
        return counts.with_base ? map_weights<Word, true>(t, counts, layout, raw, base, raw_bits)
                                : map_weights<Word, false>(t, counts, layout, raw, base, raw_bits);
    }
};

WeightEncoder::WeightEncoder(std::span<const std::byte> raw, std::span<const std::byte> base, FloatKind kind) {
    FloatLayout layout = *make_layout(static_cast<unsigned>(kind), 0);
    const unsigned cap = layout.mantissa - 1;
    const unsigned dropped = layout.bytes == 2 ? zero_low_bits<std::uint16_t>(raw, base, cap) : zero_low_bits<std::uint32_t>(raw, base, cap);
    layout = *make_layout(static_cast<unsigned>(kind), dropped);
    auto analysis = std::make_unique<Analysis>(raw, base, layout);
    if (layout.bytes == 2) analysis->run<std::uint16_t>();
    else analysis->run<std::uint32_t>();
    cost_.data_bytes = std::numeric_limits<double>::infinity();
    if (analysis->model.contexts.empty()) {
        analysis_ = analysis.release();
        return;
    }
    const ModelCost bits = model_cost(analysis->model, analysis->counts);
    cost_.data_bytes = (bits.coded_bits + bits.raw_bits) / 8;
    cost_.table_bytes = 6 + analysis->model_bytes.size() + 4 * lanes_for(raw.size() / layout.bytes);
    analysis_ = analysis.release();
}

WeightEncoder::~WeightEncoder() { delete analysis_; }

void WeightEncoder::write(Bytes& out) const {
    const Analysis& a = *analysis_;
    const EncodeTables tables(a.model, a.counts);
    const unsigned lanes = lanes_for(a.raw.size() / a.layout.bytes);
    Bytes raw_bits, words;
    const auto codes = a.layout.bytes == 2 ? a.map<std::uint16_t>(tables, raw_bits) : a.map<std::uint32_t>(tables, raw_bits);
    put_words(tables, codes, a.model.precision, lanes, words);
    out.push_back(static_cast<std::byte>(kPayloadVersion));
    out.push_back(static_cast<std::byte>(static_cast<unsigned>(a.layout.kind) | a.layout.dropped << 2));
    out.push_back(static_cast<std::byte>(a.model.precision | static_cast<unsigned>(std::countr_zero(lanes)) << 4));
    put_varint(out, a.model_bytes.size());
    put_varint(out, words.size());
    out.insert(out.end(), a.model_bytes.begin(), a.model_bytes.end());
    out.insert(out.end(), words.begin(), words.end());
    out.insert(out.end(), raw_bits.begin(), raw_bits.end());
}

WeightCost weight_cost(std::span<const std::byte> raw, std::span<const std::byte> base, FloatKind kind) {
    return WeightEncoder(raw, base, kind).cost();
}

bool encode_weights(std::span<const std::byte> raw, std::span<const std::byte> base, FloatKind kind, Bytes& out) {
    const WeightEncoder encoder(raw, base, kind);
    if (encoder.possible()) encoder.write(out);
    return encoder.possible();
}

}  // namespace tenpak::delta

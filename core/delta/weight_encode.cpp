// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <limits>
#include <memory>

#include "core/delta/encode_loops.h"
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
    std::uint32_t x, exponent;
    Weight(const std::byte* raw, const std::byte* base, std::size_t i, const FloatLayout& l) {
        const std::uint32_t b = load_weight<Word>(base, i) >> l.dropped, sign = l.sign_mask();
        x = (load_weight<Word>(raw, i) >> l.dropped) ^ (b & sign);
        exponent = (b & (sign - 1)) >> l.mantissa;
    }
};

/// Counts by the index of each weight (index_weights).
void count_with_base(FineCounts& counts, const FloatLayout& l, const std::vector<std::uint32_t>& index) {
    const std::size_t fine = counts.anchored.size();
    counts.with_base = true;
    counts.anchored_counts.assign(fine * l.exponents(), 0);
    // Two sets of counters where it pays: a run of equal symbols would wait for its own store otherwise.
    std::vector<std::uint32_t> second(index.size() >= 65536 ? counts.anchored_counts.size() : 0);
    std::uint32_t* const one = counts.anchored_counts.data();
    std::uint32_t* const two = second.empty() ? one : second.data();
    std::size_t i = 0;
    for (; i + 2 <= index.size(); i += 2) {
        ++one[index[i]];
        ++two[index[i + 1]];
    }
    if (i < index.size()) ++one[index[i]];
    for (std::size_t e = 0; e < l.exponents(); ++e) {
        std::uint32_t sum = 0;
        for (std::size_t s = e * fine; s < (e + 1) * fine; ++s) {
            if (!second.empty()) counts.anchored_counts[s] += second[s];
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
void count_absolute(FineCounts& counts, const FloatLayout& l, std::span<const std::byte> raw, std::span<const std::byte> base, const std::vector<std::uint32_t>& index) {
    const std::size_t n = raw.size() / sizeof(Word), fine = counts.absolute.size();
    const Alphabet alphabet = counts.absolute;
    if (base.empty()) {
        counts.absolute_counts.assign(fine, 0);
        counts.has_absolute[0] = 1;
        counts.weights[0] = static_cast<std::uint32_t>(n);
        for (std::size_t i = 0; i < n; ++i) ++counts.absolute_counts[alphabet.absolute_symbol(load_weight<Word>(raw.data(), i) >> l.dropped)];
        return;
    }
    counts.has_absolute = nearly_unpredicted(counts, l);
    const auto last = std::find(counts.has_absolute.rbegin(), counts.has_absolute.rend(), 1);
    if (last == counts.has_absolute.rend()) return;
    // They are the low exponents, and few weights have those.
    const auto rows = static_cast<std::size_t>(counts.has_absolute.rend() - last);
    const auto limit = static_cast<std::uint32_t>(rows * counts.anchored.size());
    counts.absolute_counts.assign(fine * rows, 0);
    for (std::size_t i = 0; i < n; ++i) {
        if (index[i] >= limit) continue;
        const Weight<Word> w(raw.data(), base.data(), i, l);
        if (counts.has_absolute[w.exponent] != 0) ++counts.absolute_counts[w.exponent * fine + alphabet.absolute_symbol(w.x)];
    }
}

/// What the coding loops look up.
struct EncodeTables {
    std::vector<std::uint16_t> code_of;         ///< by index; see MapJob
    std::vector<std::uint8_t> number;           ///< [context * stride + absolute symbol at the finest detail]
    std::size_t stride = 0;
    std::vector<DecodeTables::Symbol> symbols;  ///< [context << 8 | number]
    std::vector<RansSymbol> rans;               ///< as symbols

    EncodeTables(const WeightModel& model, const FineCounts& counts) {
        const std::size_t contexts = model.contexts.size(), fine = counts.anchored.size();
        stride = counts.absolute.size();
        number.assign(stride * contexts, 0);
        symbols.resize(contexts << 8);
        rans.resize(contexts << 8);
        if (counts.with_base) code_of.assign(fine * model.layout.exponents(), 0);
        for (std::size_t c = 0; c < contexts; ++c) {
            const ContextTable& t = model.contexts[c];
            const Alphabet alphabet(model.layout, t.anchored, t.k);
            std::vector<std::uint8_t> dense(alphabet.size());
            std::uint32_t cumulative = 0;
            for (std::size_t i = 0; i < t.live.size(); ++i) {
                dense[t.live[i]] = static_cast<std::uint8_t>(i);
                rans[c << 8 | i] = RansSymbol(t.frequency[i], cumulative, model.precision);
                cumulative += t.frequency[i];
                const Interval v = alphabet.interval(t.live[i]);
                symbols[c << 8 | i] = {v.start, v.raw_bits};
            }
            const auto to = coarsening(t.anchored ? counts.anchored : counts.absolute, alphabet);
            if (!t.anchored)
                for (std::size_t s = 0; s < to.size(); ++s) number[c * stride + s] = dense[to[s]];
            if (!counts.with_base) continue;
            for (std::size_t i = 0; i < model.context_of.size(); ++i) {
                const std::size_t e = model.first_exponent + i;
                if (model.context_of[i] != c || counts.weights[e] == 0) continue;
                for (std::size_t s = 0; s < fine; ++s)
                    code_of[e * fine + s] = static_cast<std::uint16_t>(t.anchored ? c << 8 | dense[to[s]] : kAbsolute | c);
            }
        }
    }
};

}  // namespace

struct WeightEncoder::Analysis {
    std::span<const std::byte> raw, base;
    FloatLayout layout;
    FineCounts counts;
    std::vector<std::uint32_t> index;  // of each weight, with a base
    WeightModel model;
    Bytes model_bytes;

    Analysis(std::span<const std::byte> r, std::span<const std::byte> b, const FloatLayout& l) : raw(r), base(b), layout(l), counts(l) {}
    std::size_t weights() const { return raw.size() / layout.bytes; }

    void run() {
        if (!base.empty()) {
            index.resize(weights());
            index_weights({raw.data(), base.data(), weights(), layout, counts.anchored.size(), counts.anchored.cross_begin(), index.data()});
            count_with_base(counts, layout, index);
        }
        if (layout.bytes == 2) count_absolute<std::uint16_t>(counts, layout, raw, base, index);
        else count_absolute<std::uint32_t>(counts, layout, raw, base, index);
        model = build_model(layout, counts, weights());
        if (!model.contexts.empty()) write_model(model, counts.with_base, model_bytes);
    }
};

WeightEncoder::WeightEncoder(std::span<const std::byte> raw, const Prediction& prediction, FloatKind kind) {
    const std::span<const std::byte> base = prediction.bytes;
    FloatLayout layout = *make_layout(static_cast<unsigned>(kind), 0);
    const unsigned cap = layout.mantissa - 1;
    const unsigned dropped = layout.bytes == 2 ? zero_low_bits<std::uint16_t>(raw, base, cap) : zero_low_bits<std::uint32_t>(raw, base, cap);
    layout = *make_layout(static_cast<unsigned>(kind), dropped);
    auto analysis = std::make_unique<Analysis>(raw, base, layout);
    analysis->run();
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
    const std::size_t n = a.weights();
    const unsigned lanes = lanes_for(n);
    const auto codes = std::make_unique_for_overwrite<std::uint16_t[]>(n);
    const auto bits = std::make_unique_for_overwrite<std::byte[]>(a.raw.size() + 8);  // a weight has fewer raw bits than bits
    MapJob map{a.raw.data(), a.counts.with_base ? a.base.data() : nullptr, n, a.layout, a.layout.mantissa - a.counts.absolute.k(), a.index.data(),
               tables.code_of.data(), tables.number.data(), tables.stride, tables.symbols.data(), codes.get(), bits.get(), 0};
    map_weights(map);
    // Words come from the back; one more than there can be, since put() writes before it knows.
    const auto words = std::make_unique_for_overwrite<std::uint16_t[]>(n + 1);
    std::array<std::uint32_t, kMaxLanes> state{};
    std::uint16_t* const end = words.get() + n + 1;
    const std::uint16_t* const word = code_words({codes.get(), n, tables.rans.data(), a.model.precision, lanes, state.data(), end});
    const auto word_bytes = static_cast<std::size_t>(end - word) * 2;

    out.push_back(static_cast<std::byte>(kPayloadVersion));
    out.push_back(static_cast<std::byte>(static_cast<unsigned>(a.layout.kind) | a.layout.dropped << 2));
    out.push_back(static_cast<std::byte>(a.model.precision | static_cast<unsigned>(std::countr_zero(lanes)) << 4));
    put_varint(out, a.model_bytes.size());
    put_varint(out, 4 * lanes + word_bytes);
    const auto append = [&out](const void* p, std::size_t size) {
        if (size == 0) return;
        out.resize(out.size() + size);
        std::memcpy(out.data() + out.size() - size, p, size);
    };
    out.reserve(out.size() + a.model_bytes.size() + 4 * lanes + word_bytes + map.bits_size);
    append(a.model_bytes.data(), a.model_bytes.size());
    append(state.data(), 4 * lanes);
    append(word, word_bytes);
    append(bits.get(), map.bits_size);
}

WeightCost weight_cost(std::span<const std::byte> raw, const Prediction& prediction, FloatKind kind) {
    return WeightEncoder(raw, prediction, kind).cost();
}

bool encode_weights(std::span<const std::byte> raw, const Prediction& prediction, FloatKind kind, Bytes& out) {
    const WeightEncoder encoder(raw, prediction, kind);
    if (encoder.possible()) encoder.write(out);
    return encoder.possible();
}

}  // namespace tenpak::delta

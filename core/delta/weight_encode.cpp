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
unsigned zero_low_bits(std::span<const std::byte> raw, std::span<const std::byte> predicted, unsigned cap) {
    std::uint32_t any = 0;
    const std::size_t n = raw.size() / sizeof(Word);
    for (std::size_t begin = 0; begin < n; begin += 4096) {  // weights with all bits in use end this at once
        const std::size_t end = std::min(n, begin + 4096);
        for (std::size_t i = begin; i < end; ++i) any |= load_weight<Word>(raw.data(), i);
        if (!predicted.empty())
            for (std::size_t i = begin; i < end; ++i) any |= load_weight<Word>(predicted.data(), i);
        if ((any & 1u) != 0) return 0;
    }
    return any == 0 ? cap : std::min(static_cast<unsigned>(std::countr_zero(any)), cap);
}

/// Counts by the index of each weight (index_weights).
void count_anchored(FineCounts& counts, const std::uint32_t* index, std::size_t n) {
    const std::size_t fine = counts.anchored.size();
    counts.anchored_counts.assign(fine * counts.rows(), 0);
    // Two sets of counters where it pays: a run of equal symbols would wait for its own store otherwise.
    std::vector<std::uint32_t> second(n >= 65536 ? counts.anchored_counts.size() : 0);
    std::uint32_t* const one = counts.anchored_counts.data();
    std::uint32_t* const two = second.empty() ? one : second.data();
    std::size_t i = 0;
    for (; i + 2 <= n; i += 2) {
        ++one[index[i]];
        ++two[index[i + 1]];
    }
    if (i < n) ++one[index[i]];
    for (std::size_t row = 0; row < counts.rows(); ++row) {
        std::uint32_t sum = 0;
        for (std::size_t s = row * fine; s < (row + 1) * fine; ++s) {
            if (!second.empty()) one[s] += two[s];
            sum += one[s];
        }
        counts.weights[row] = sum;
    }
}

/// Keys whose weights cost about as much as weights without a prediction: there absolute symbols may be better.
std::vector<std::uint8_t> nearly_unpredicted(const FineCounts& counts, const FloatLayout& l) {
    std::vector<std::uint8_t> flag(counts.rows());
    const std::size_t fine = counts.anchored.size();
    for (std::size_t row = 0; row < counts.rows(); ++row) {
        const double n = counts.weights[row];
        if (n == 0) continue;
        double bits = n * std::log2(n);
        for (std::uint32_t s = 0; s < fine; ++s) {
            const double c = counts.anchored_counts[row * fine + s];
            if (c > 0) bits += c * (counts.anchored.interval(s).raw_bits - std::log2(c));
        }
        flag[row] = bits > n * (l.mantissa + 0.5) ? 1 : 0;
    }
    return flag;
}

template <class Word>
void count_absolute(FineCounts& counts, const FloatLayout& l, std::span<const std::byte> raw, std::span<const std::byte> predicted, const std::uint32_t* index) {
    const std::size_t n = raw.size() / sizeof(Word), fine = counts.absolute.size(), stride = counts.anchored.size();
    const Alphabet alphabet = counts.absolute;
    if (predicted.empty()) {
        counts.absolute_counts.assign(fine, 0);
        counts.has_absolute.assign(1, 1);
        counts.weights.assign(1, static_cast<std::uint32_t>(n));
        for (std::size_t i = 0; i < n; ++i) ++counts.absolute_counts[alphabet.absolute_symbol(load_weight<Word>(raw.data(), i) >> l.dropped)];
        return;
    }
    counts.has_absolute = nearly_unpredicted(counts, l);
    const auto last = std::find(counts.has_absolute.rbegin(), counts.has_absolute.rend(), 1);
    if (last == counts.has_absolute.rend()) return;
    // Exponents: they are the low ones, and few weights have those.
    const auto rows = static_cast<std::size_t>(counts.has_absolute.rend() - last);
    const auto limit = static_cast<std::uint32_t>(rows * stride);
    counts.absolute_counts.assign(fine * rows, 0);
    const std::uint32_t sign = l.sign_mask();
    for (std::size_t i = 0; i < n; ++i) {
        if (index[i] >= limit) continue;
        const std::size_t row = index[i] / stride;
        if (counts.has_absolute[row] == 0) continue;
        const std::uint32_t x = load_weight<Word>(raw.data(), i) >> l.dropped ^ (load_weight<Word>(predicted.data(), i) >> l.dropped & sign);
        ++counts.absolute_counts[row * fine + alphabet.absolute_symbol(x)];
    }
}

/// What the coding loops look up.
struct EncodeTables {
    std::vector<std::uint16_t> code_of;         ///< by index; see MapJob
    std::vector<std::uint8_t> absolute_code;    ///< [context * stride + absolute symbol at the finest detail]
    std::size_t stride = 0;
    std::vector<RansSymbol> symbols;            ///< [context << 8 | code]
    bool any_long = false;

    EncodeTables(const WeightModel& model, const FineCounts& counts) {
        const std::size_t contexts = model.contexts.size(), fine = counts.anchored.size();
        const Codes codes(model);
        stride = counts.absolute.size();
        absolute_code.assign(std::any_of(model.contexts.begin(), model.contexts.end(), [](const ContextTable& t) { return !t.anchored; }) ? stride * contexts : 0, 0);
        symbols.resize(contexts << 8);
        if (counts.keys != KeyKind::kNone) code_of.resize(fine * counts.rows());
        std::vector<std::uint8_t> dense;
        for (std::size_t c = 0; c < contexts; ++c) {
            const ContextTable& t = model.contexts[c];
            const Alphabet alphabet(model.layout, t.anchored, t.k);
            dense.assign(alphabet.size(), 0);
            std::uint32_t cumulative = 0;
            for (std::size_t i = 0; i < t.live.size(); ++i) {
                const std::uint32_t code = codes.of[c][i];
                const unsigned bits = alphabet.interval(t.live[i]).raw_bits;
                dense[t.live[i]] = static_cast<std::uint8_t>(code);
                symbols[c << 8 | code] = RansSymbol(t.frequency[i], cumulative, model.precision, bits);
                cumulative += t.frequency[i];
                any_long = any_long || bits > kRawStep;
            }
            const auto to = coarsening(t.anchored ? counts.anchored : counts.absolute, alphabet);
            if (!t.anchored)
                for (std::size_t s = 0; s < to.size(); ++s) absolute_code[c * stride + s] = dense[to[s]];
            if (counts.keys == KeyKind::kNone) continue;
            for (std::size_t row = 0; row < counts.rows(); ++row) {
                if (counts.weights[row] == 0 || model.context_of[counts.first_key + row - model.first_key] != c) continue;
                std::uint16_t* const code = code_of.data() + row * fine;
                for (std::size_t s = 0; s < fine; ++s)
                    code[s] = static_cast<std::uint16_t>(!t.anchored ? kAbsolute | c : to[s] == kNoSymbol ? 0 : c << 8 | dense[to[s]]);
            }
        }
    }
};

}  // namespace

struct WeightEncoder::Analysis {
    std::span<const std::byte> raw;
    Prediction prediction;
    FloatLayout layout;
    FineCounts counts;
    std::unique_ptr<std::uint32_t[]> index;  // of each weight, with a prediction
    std::unique_ptr<std::byte[]> distance;
    BuiltModel built;
    Bytes model_bytes;

    Analysis(std::span<const std::byte> r, const Prediction& p, const FloatLayout& l) : raw(r), prediction(p), layout(l), counts(l) {}
    std::size_t weights() const { return raw.size() / layout.bytes; }
    const std::byte* predicted() const { return prediction.bytes.empty() ? nullptr : prediction.bytes.data(); }

    void run() {
        distance = std::make_unique_for_overwrite<std::byte[]>(raw.size());
        if (predicted() != nullptr) {
            const bool given = !prediction.keys.empty();
            counts.keys = given ? KeyKind::kGiven : KeyKind::kExponent;
            const ExponentRange range = given ? ExponentRange{0, kKeyRange - 1} : exponent_range(predicted(), weights(), layout);
            counts.first_key = range.first;
            counts.weights.assign(range.last - range.first + 1, 0);
            index = std::make_unique_for_overwrite<std::uint32_t[]>(weights());
            index_weights({raw.data(), predicted(), given ? prediction.keys.data() : nullptr, weights(), layout, counts.first_key, counts.anchored.size(),
                           counts.anchored.cross_begin(), index.get(), distance.get()});
            count_anchored(counts, index.get(), weights());
        }
        if (layout.bytes == 2) count_absolute<std::uint16_t>(counts, layout, raw, prediction.bytes, index.get());
        else count_absolute<std::uint32_t>(counts, layout, raw, prediction.bytes, index.get());
        built = build_model(layout, counts, weights());
        if (!built.model.contexts.empty()) write_model(built.model, model_bytes);
    }
};

WeightEncoder::WeightEncoder(std::span<const std::byte> raw, const Prediction& prediction, FloatKind kind) {
    FloatLayout layout = *make_layout(static_cast<unsigned>(kind), 0);
    const unsigned cap = layout.mantissa - 1;
    const unsigned dropped = layout.bytes == 2 ? zero_low_bits<std::uint16_t>(raw, prediction.bytes, cap) : zero_low_bits<std::uint32_t>(raw, prediction.bytes, cap);
    layout = *make_layout(static_cast<unsigned>(kind), dropped);
    auto analysis = std::make_unique<Analysis>(raw, prediction, layout);
    analysis->run();
    cost_.data_bytes = std::numeric_limits<double>::infinity();
    if (!analysis->built.model.contexts.empty()) {
        cost_.data_bytes = (analysis->built.cost.coded_bits + analysis->built.cost.raw_bits) / 8;
        cost_.table_bytes = 5 + analysis->model_bytes.size() + 4 * lanes_for(raw.size() / layout.bytes, cost_.data_bytes);
    }
    analysis_ = analysis.release();
}

WeightEncoder::~WeightEncoder() { delete analysis_; }

void WeightEncoder::write(Bytes& out, unsigned lanes) const {
    const Analysis& a = *analysis_;
    const WeightModel& model = a.built.model;
    const EncodeTables tables(model, a.counts);
    const std::size_t n = a.weights();
    if (lanes == 0) lanes = lanes_for(n, cost_.data_bytes);
    const auto codes = std::make_unique_for_overwrite<std::uint16_t[]>(n);
    map_weights({a.raw.data(), a.predicted(), n, a.layout, a.layout.mantissa - a.counts.absolute.k(), a.index.get(), tables.code_of.data(), tables.absolute_code.data(),
                 tables.stride, codes.get(), a.distance.get()});
    // Words come from the back: at most one a step, and one more, since a step writes before it knows.
    const std::size_t most = n * (tables.any_long ? 3 : 2) + 1;
    const auto words = std::make_unique_for_overwrite<std::uint16_t[]>(most);
    std::array<std::uint32_t, kMaxLanes> state{};
    std::uint16_t* const end = words.get() + most;
    const std::uint16_t* const word =
        code_words({codes.get(), a.distance.get(), a.layout.bytes, n, tables.symbols.data(), model.precision, lanes, tables.any_long, state.data(), end});
    const auto word_bytes = static_cast<std::size_t>(end - word) * 2;

    out.reserve(out.size() + 8 + a.model_bytes.size() + 4 * lanes + word_bytes);
    out.push_back(static_cast<std::byte>(kPayloadVersion));
    out.push_back(static_cast<std::byte>(static_cast<unsigned>(a.layout.kind) | a.layout.dropped << 2 | (model.keys == KeyKind::kGiven ? 0x80u : 0u)));
    out.push_back(static_cast<std::byte>(model.precision | static_cast<unsigned>(std::countr_zero(lanes)) << 4));
    put_varint(out, a.model_bytes.size());
    const auto append = [&out](const void* p, std::size_t size) {
        if (size == 0) return;
        out.resize(out.size() + size);
        std::memcpy(out.data() + out.size() - size, p, size);
    };
    append(a.model_bytes.data(), a.model_bytes.size());
    append(state.data(), 4 * lanes);
    append(word, word_bytes);
}

WeightCost weight_cost(std::span<const std::byte> raw, const Prediction& prediction, FloatKind kind) { return WeightEncoder(raw, prediction, kind).cost(); }

bool encode_weights(std::span<const std::byte> raw, const Prediction& prediction, FloatKind kind, Bytes& out) {
    const WeightEncoder encoder(raw, prediction, kind);
    if (encoder.possible()) encoder.write(out);
    return encoder.possible();
}

}  // namespace tenpak::delta

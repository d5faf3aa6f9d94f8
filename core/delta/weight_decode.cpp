// SPDX-License-Identifier: Apache-2.0
// The scalar decoder: the reference that faster ones must agree with.
#include <algorithm>
#include <array>
#include <bit>
#include <cstring>

#include "core/delta/payload.h"
#include "core/delta/rans.h"
#include "core/delta/weight_coder.h"
#include "core/delta/weight_decode_bulk.h"

namespace tenpak::delta {

namespace {

static_assert(std::endian::native == std::endian::little, "the coders load and store little-endian words directly");

Error malformed(const char* what) { return make_error(ErrorCode::kMalformed, what, {}, "The block is damaged or made by a faulty program"); }

template <class Word, KeyKind kKeys>
struct Decoder {
    const Payload& p;
    const DecodeTables& t;
    const Prediction& prediction;
    std::byte* raw;
    DecodePosition& at;
    bool overrun = false;

    /// With kCareful words may end in the round: zeros are taken behind the end, and `overrun` set.
    template <bool kCareful>
    std::uint32_t refill(std::uint32_t x) {
        if (x >= kRansLow) return x;
        if (kCareful && at.word == at.words_end) {
            overrun = true;
            return kRansLow;
        }
        std::uint16_t w;
        std::memcpy(&w, at.word, 2);
        at.word += 2;
        return x << 16 | w;
    }
    /// `count` weights, at most kRound. Words are taken step by step: all symbols', then all raw bits'.
    template <bool kCareful>
    void round(unsigned count) {
        const FloatLayout& l = p.layout;
        const std::uint32_t sign = l.sign_mask(), magnitude = sign - 1, slot_mask = (1u << p.precision) - 1;
        std::array<std::uint32_t, kRound> predicted{}, value{};
        std::array<std::uint8_t, kRound> code{}, bits{};
        std::uint32_t* const state = at.state.data() + at.weight % p.lanes;
        for (unsigned lane = 0; lane < count; ++lane) {
            std::uint32_t c = 0;
            if constexpr (kKeys != KeyKind::kNone) {
                const std::uint32_t b = predicted[lane] = load_weight<Word>(prediction.bytes.data(), at.weight + lane) >> l.dropped;
                if constexpr (kKeys == KeyKind::kGiven) c = t.context_of[prediction.keys[at.weight + lane] & (kKeyRange - 1)];
                else c = t.context_of[(b & magnitude) >> l.mantissa];
            }
            const std::uint32_t x = state[lane], slot = t.slots[c << p.precision | (x & slot_mask)];
            state[lane] = refill<kCareful>((slot & 0xfffu) * (x >> p.precision) + (slot >> 20));
            code[lane] = static_cast<std::uint8_t>(slot >> 12);
            bits[lane] = t.symbols[code[lane]].raw_bits;
        }
        for (unsigned lane = 0; lane < count; ++lane) {
            const std::uint32_t x = state[lane];
            const unsigned n = std::min<unsigned>(bits[lane], kRawStep);
            value[lane] = x & ((1u << n) - 1);
            state[lane] = refill<kCareful>(x >> n);
        }
        if (t.most_raw_bits > kRawStep) {
            for (unsigned lane = 0; lane < count; ++lane) {
                if (bits[lane] <= kRawStep) continue;
                const std::uint32_t x = state[lane];
                const unsigned n = bits[lane] - kRawStep;
                value[lane] |= (x & ((1u << n) - 1)) << kRawStep;
                state[lane] = refill<kCareful>(x >> n);
            }
        }
        for (unsigned lane = 0; lane < count; ++lane) {
            const DecodeTables::Symbol s = t.symbols[code[lane]];
            std::uint32_t v = s.begin + value[lane];
            bool negative = s.negative;
            if constexpr (kKeys == KeyKind::kGiven) negative ^= s.kept && (prediction.keys[at.weight + lane] & kMirror) != 0;
            if (negative) v = 0u - v;
            if constexpr (kKeys != KeyKind::kNone) {
                const std::uint32_t b = predicted[lane];
                v = (v + (s.absolute ? 0 : b & magnitude)) ^ (b & sign);
            }
            store_weight<Word>(raw, at.weight + lane, v << l.dropped);
        }
        at.weight += count;
    }
    void run(std::size_t n) {
        const unsigned whole = std::min(p.lanes, kRound);
        const std::size_t most = 2ull * whole * (t.most_raw_bits > kRawStep ? 3 : 2);
        while (n - at.weight >= whole && static_cast<std::size_t>(at.words_end - at.word) >= most) round<false>(whole);
        while (at.weight < n && !overrun) round<true>(static_cast<unsigned>(std::min<std::size_t>(whole, n - at.weight)));
    }
};

template <class Word, KeyKind kKeys>
Status decode(const Payload& p, const DecodeTables& t, const Prediction& prediction, std::span<std::byte> raw) {
    const std::size_t n = raw.size() / sizeof(Word);
    DecodePosition at;
    std::memcpy(at.state.data(), p.words.data(), 4 * p.lanes);
    for (unsigned i = 0; i < p.lanes; ++i)
        if (at.state[i] < kRansLow) return malformed("a weights block begins in an impossible state");
    at.word = p.words.data() + 4 * p.lanes;
    at.words_end = p.words.data() + p.words.size();
    decode_bulk(p, t, kKeys, prediction, raw.data(), n, at);
    Decoder<Word, kKeys> decoder{p, t, prediction, raw.data(), at};
    decoder.run(n);
    if (decoder.overrun) return malformed("a weights block ends early");
    if (at.word != at.words_end) return malformed("a weights block is longer than its weights");
    for (unsigned lane = 0; lane < p.lanes; ++lane)
        if (at.state[lane] != kRansLow) return malformed("a weights block does not end where it must");
    return {};
}

template <class Word>
Status decode(const Payload& p, const DecodeTables& t, KeyKind keys, const Prediction& prediction, std::span<std::byte> raw) {
    switch (keys) {
        case KeyKind::kNone: return decode<Word, KeyKind::kNone>(p, t, prediction, raw);
        case KeyKind::kExponent: return decode<Word, KeyKind::kExponent>(p, t, prediction, raw);
        case KeyKind::kGiven: break;
    }
    return decode<Word, KeyKind::kGiven>(p, t, prediction, raw);
}

}  // namespace

Status decode_weights(std::span<const std::byte> stored, const Prediction& prediction, std::span<std::byte> raw) {
    TENPAK_ASSIGN(const Payload p, parse_payload(stored));
    if (raw.empty() || raw.size() > kMaxBlockBytes || raw.size() % p.layout.bytes != 0) return malformed("a weights block does not hold whole weights");
    const bool predicted = !prediction.bytes.empty();
    if (predicted && prediction.bytes.size() != raw.size()) return malformed("a weights block and its base differ in size");
    if (p.keyed && (!predicted || prediction.keys.size() != raw.size() / p.layout.bytes)) return malformed("a weights block has keys that its prediction lacks");
    const KeyKind keys = p.keyed ? KeyKind::kGiven : predicted ? KeyKind::kExponent : KeyKind::kNone;
    TENPAK_ASSIGN(const WeightModel model, read_model(p.model, p.layout, p.precision, keys));
    thread_local DecodeTables tables;  // a quarter of a megabyte: allocated once, not for each block
    tables.assign(model);
    if (p.layout.bytes == 2) return decode<std::uint16_t>(p, tables, keys, prediction, raw);
    return decode<std::uint32_t>(p, tables, keys, prediction, raw);
}

}  // namespace tenpak::delta

// SPDX-License-Identifier: Apache-2.0
// The scalar decoder: the reference that faster ones must agree with.
#include <array>
#include <cstring>

#include "core/delta/bit_stream.h"
#include "core/delta/payload.h"
#include "core/delta/rans.h"
#include "core/delta/weight_coder.h"
#include "core/delta/weight_decode_bulk.h"

namespace tenpak::delta {

namespace {

Error malformed(const char* what) { return make_error(ErrorCode::kMalformed, what, {}, "The block is damaged or made by a faulty program"); }

template <class Word, bool kWithBase>
Status decode(const Payload& p, const DecodeTables& t, std::span<const std::byte> base, std::span<std::byte> raw) {
    const std::size_t n = raw.size() / sizeof(Word);
    const FloatLayout& l = p.layout;
    const std::uint32_t sign = l.sign_mask(), magnitude = sign - 1, slot_mask = (1u << p.precision) - 1;
    DecodePosition at;
    std::memcpy(at.state.data(), p.words.data(), 4 * p.lanes);
    for (unsigned i = 0; i < p.lanes; ++i)
        if (at.state[i] < kRansLow || at.state[i] >> 31 != 0) return malformed("a weights block begins in an impossible state");
    at.word = p.words.data() + 4 * p.lanes;
    at.words_end = p.words.data() + p.words.size();
    if (bulk_decoder_fits(p)) decode_bulk(p, t, kWithBase ? base.data() : nullptr, raw.data(), n, at);
    auto& state = at.state;
    const std::byte* word = at.word;
    const std::byte* const words_end = at.words_end;
    BitReader bits(p.raw_bits, at.bit);

    const auto one = [&](std::size_t i, unsigned lane) {
        std::uint32_t b = 0, c = 0;
        if constexpr (kWithBase) {
            b = load_weight<Word>(base.data(), i) >> l.dropped;
            c = t.context_of[(b & magnitude) >> l.mantissa];
        }
        std::uint32_t x = state[lane];
        const std::uint32_t slot = t.slots[c << p.precision | (x & slot_mask)];
        x = ((slot & 0xfffu) + 1) * (x >> p.precision) + (slot >> 12 & 0xfffu);
        if (x < kRansLow) {
            std::uint16_t w;
            std::memcpy(&w, word, 2);
            x = x << 16 | w;
            word += 2;
        }
        state[lane] = x;
        const DecodeTables::Symbol s = t.symbols[c << 8 | slot >> 24];
        std::uint32_t v = s.start + bits.get(s.raw_bits);
        if constexpr (kWithBase) v = (v + (t.anchored[c] != 0 ? b & magnitude : 0)) ^ (b & sign);
        store_weight<Word>(raw.data(), i, v << l.dropped);
    };
    std::size_t i = at.weight;
    // A round takes at most one word a lane: with so many left no single one needs a check.
    for (; i + p.lanes <= n && static_cast<std::size_t>(words_end - word) >= 2 * p.lanes; i += p.lanes)
        for (unsigned lane = 0; lane < p.lanes; ++lane) one(i + lane, lane);
    static constexpr std::array<std::byte, 2> kNone{};
    for (; i < n; ++i) {
        const bool at_end = word == words_end;
        if (at_end) word = kNone.data();
        const std::byte* const before = word;
        one(i, static_cast<unsigned>(i % p.lanes));
        if (at_end) {
            if (word != before) return malformed("a weights block ends early");
            word = words_end;
        }
    }
    if (word != words_end) return malformed("a weights block is longer than its weights");
    for (unsigned lane = 0; lane < p.lanes; ++lane)
        if (state[lane] != kRansLow) return malformed("a weights block does not end where it must");
    if ((bits.position() + 7) / 8 != p.raw_bits.size()) return malformed("a weights block has too few or too many raw bits");
    return {};
}

}  // namespace

Status decode_weights(std::span<const std::byte> stored, const Prediction& prediction, std::span<std::byte> raw) {
    const std::span<const std::byte> base = prediction.bytes;
    TENPAK_ASSIGN(const Payload p, parse_payload(stored));
    if (raw.empty() || raw.size() > kMaxBlockBytes || raw.size() % p.layout.bytes != 0) return malformed("a weights block does not hold whole weights");
    const bool with_base = !base.empty();
    if (with_base && base.size() != raw.size()) return malformed("a weights block and its base differ in size");
    TENPAK_ASSIGN(const WeightModel model, read_model(p.model, p.layout, p.precision, with_base));
    const DecodeTables tables(model, with_base);
    if (p.layout.bytes == 2)
        return with_base ? decode<std::uint16_t, true>(p, tables, base, raw) : decode<std::uint16_t, false>(p, tables, base, raw);
    return with_base ? decode<std::uint32_t, true>(p, tables, base, raw) : decode<std::uint32_t, false>(p, tables, base, raw);
}

}  // namespace tenpak::delta

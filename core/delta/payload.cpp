// SPDX-License-Identifier: Apache-2.0
#include "core/delta/payload.h"

#include <algorithm>

#include "core/delta/prediction.h"
#include "core/delta/rans.h"

namespace tenpak::delta {

namespace {
Error malformed(const char* what) { return make_error(ErrorCode::kMalformed, what, {}, "The block is damaged or made by a faulty program"); }
}  // namespace

void put_varint(Bytes& out, std::uint64_t v) {
    for (; v >= 128; v >>= 7) out.push_back(static_cast<std::byte>(v & 127u) | std::byte{128});
    out.push_back(static_cast<std::byte>(v));
}

bool get_varint(std::span<const std::byte>& in, std::uint64_t& v) {
    v = 0;
    for (unsigned i = 0; i < 5; ++i) {
        if (in.empty()) return false;
        const auto b = static_cast<std::uint64_t>(in.front());
        in = in.subspan(1);
        v |= (b & 127u) << (7 * i);
        if ((b & 128u) == 0) return i == 0 || b != 0;  // the shortest form only
    }
    return false;
}

Result<Payload> parse_payload(std::span<const std::byte> stored) {
    if (stored.size() < 3) return malformed("a weights block ends early");
    const auto version = static_cast<unsigned>(stored[0]);
    if (version != kPayloadVersion)
        return make_error(ErrorCode::kUnsupported, "a weights block has version " + std::to_string(version), {}, "A newer tenpak reads it");
    const auto shape = static_cast<unsigned>(stored[1]), coder = static_cast<unsigned>(stored[2]);
    Payload p;
    const auto layout = make_layout(shape & 3u, shape >> 2 & 31u);
    if (!layout) return malformed("a weights block has an unknown layout of floats");
    p.layout = *layout;
    p.keyed = shape >> 7 != 0;
    p.precision = coder & 15u;
    if (p.precision < 10 || p.precision > 12 || coder >> 4 > 7) return malformed("a weights block has unknown coder settings");
    p.lanes = 1u << (coder >> 4);
    auto rest = stored.subspan(3);
    std::uint64_t model = 0;
    if (!get_varint(rest, model)) return malformed("a weights block ends early");
    if (model > rest.size()) return malformed("a weights block is shorter than its parts");
    p.model = rest.first(static_cast<std::size_t>(model));
    p.words = rest.subspan(static_cast<std::size_t>(model));
    if (p.words.size() < 4ull * p.lanes || p.words.size() % 2 != 0) return malformed("a weights block has an impossible number of words");
    return p;
}

void DecodeTables::assign(const WeightModel& model) {
    const std::size_t contexts = model.contexts.size();
    if (slots.size() < contexts << model.precision) slots.resize(contexts << model.precision);
    symbols = {};
    most_raw_bits = 0;
    const Codes codes(model);
    intervals = static_cast<unsigned>(codes.interval.size());
    for (std::size_t i = 0; i < codes.interval.size(); ++i) {
        const Interval& v = codes.interval[i];
        symbols[i] = {v.begin, v.raw_bits, false, v.kind == Interval::Kind::kKept, v.kind == Interval::Kind::kAbsolute};
        most_raw_bits = std::max<unsigned>(most_raw_bits, v.raw_bits);
    }
    if (model.keys != KeyKind::kNone) {
        for (std::size_t i = 0; i < kMaxIntervals; ++i) {
            symbols[kMaxIntervals + i] = symbols[i];
            symbols[kMaxIntervals + i].negative = true;
        }
    }
    for (std::size_t c = 0; c < contexts; ++c) {
        const ContextTable& t = model.contexts[c];
        std::uint32_t* slot = slots.data() + (c << model.precision);
        for (std::size_t i = 0; i < t.live.size(); ++i) {
            const std::uint32_t f = t.frequency[i];
            std::uint32_t entry = rans_slot(f, 0, codes.of[c][i]);
            for (std::uint32_t j = 0; j < f; ++j, entry += 1u << 20) *slot++ = entry;
        }
        if (t.live.size() == 1) *slot = *(slot - 1) + (1u << 20);  // the slot that no encoder uses
    }
    context_of.assign(model.keys == KeyKind::kNone ? 1 : model.keys == KeyKind::kGiven ? kKeyRange : model.layout.exponents(), 0);
    for (std::size_t key = 0; key < context_of.size(); ++key) {
        const std::size_t i = key < model.first_key ? 0 : std::min(key - model.first_key, model.context_of.size() - 1);
        context_of[key] = model.context_of[i];
    }
}

}  // namespace tenpak::delta

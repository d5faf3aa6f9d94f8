// SPDX-License-Identifier: Apache-2.0
#include "core/delta/payload.h"

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
    const auto layout = make_layout(shape & 3u, shape >> 2);
    if (!layout) return malformed("a weights block has an unknown layout of floats");
    p.layout = *layout;
    p.precision = coder & 15u;
    if (p.precision < 10 || p.precision > 12 || coder >> 4 > 5) return malformed("a weights block has unknown coder settings");
    p.lanes = 1u << (coder >> 4);
    auto rest = stored.subspan(3);
    std::uint64_t model = 0, words = 0;
    if (!get_varint(rest, model) || !get_varint(rest, words)) return malformed("a weights block ends early");
    if (model > rest.size() || words > rest.size() - model) return malformed("a weights block is shorter than its parts");
    if (words < 4ull * p.lanes || words % 2 != 0) return malformed("a weights block has an impossible number of words");
    p.model = rest.first(static_cast<std::size_t>(model));
    p.words = rest.subspan(static_cast<std::size_t>(model), static_cast<std::size_t>(words));
    p.raw_bits = rest.subspan(static_cast<std::size_t>(model + words));
    return p;
}

DecodeTables::DecodeTables(const WeightModel& model, bool with_base) {
    const std::size_t contexts = model.contexts.size();
    slots.resize(contexts << model.precision);
    symbols.resize(contexts << 8);
    anchored.resize(contexts);
    for (std::size_t c = 0; c < contexts; ++c) {
        const ContextTable& t = model.contexts[c];
        const Alphabet alphabet(model.layout, t.anchored, t.k);
        anchored[c] = t.anchored ? 1 : 0;
        std::uint32_t* slot = slots.data() + (c << model.precision);
        for (std::size_t i = 0; i < t.live.size(); ++i) {
            const Interval v = alphabet.interval(t.live[i]);
            symbols[c << 8 | i] = {v.start, v.raw_bits};
            const std::uint32_t f = t.frequency[i];
            std::uint32_t entry = rans_slot(f, 0, static_cast<std::uint32_t>(i));
            for (std::uint32_t j = 0; j < f; ++j, entry += 1u << 12) *slot++ = entry;
        }
    }
    context_of.assign(with_base ? model.layout.exponents() : 1, 0);
    if (!with_base) return;
    for (std::size_t e = 0; e < context_of.size(); ++e) {
        const std::size_t i = e < model.first_exponent ? 0 : std::min(e - model.first_exponent, model.context_of.size() - 1);
        context_of[e] = model.context_of[i];
    }
}

}  // namespace tenpak::delta

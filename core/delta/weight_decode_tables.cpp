// SPDX-License-Identifier: Apache-2.0
#include "core/delta/weight_decode_tables.h"

#include <algorithm>

namespace tenpak::delta {

BulkTables::BulkTables(const Payload& payload, const DecodeTables& t, KeyKind key_kind)
    : slots(t.slots.data()), bytes(payload.layout.bytes), lanes(payload.lanes), precision(payload.precision), dropped(payload.layout.dropped),
      mantissa(payload.layout.mantissa + payload.layout.dropped), keys(key_kind), intervals(t.intervals),
      any_long(t.most_raw_bits > kRawStep), sign(payload.layout.sign_mask()) {
    const auto& of = t.context_of;
    last_entry = static_cast<std::uint32_t>(of.size()) - 1;
    if (key_kind == KeyKind::kExponent) {
        // Without the runs of equal contexts at both ends the span mostly fits 64 entries.
        while (last_entry > 0 && of[last_entry] == of[last_entry - 1]) --last_entry;
        while (first_key < last_entry && of[first_key] == of[first_key + 1]) ++first_key;
        if (last_entry - first_key >= 64) first_key = 0;
        last_entry -= first_key;
    }
    for (std::size_t i = 0; i < context.size(); ++i) context[i] = of[std::min(of.size() - 1, first_key + i)];
    for (std::size_t i = 0; i < context32.size(); ++i) context32[i] = of[std::min(of.size() - 1, i)];
    for (std::size_t i = 0; i < t.symbols.size(); ++i) {
        const DecodeTables::Symbol s = t.symbols[i];
        begin16[i] = static_cast<std::uint16_t>(s.begin);
        info16[i] = static_cast<std::uint16_t>(s.raw_bits | (s.absolute ? 0x8000u : 0) | (s.kept ? 0 : 0x4000u));
        begin[i] = s.begin;
        info[i] = s.raw_bits | (s.negative ? 1u << 8 : 0) | (s.kept ? 1u << 9 : 0) | (s.absolute ? 1u << 10 : 0);
    }
}

}  // namespace tenpak::delta

// SPDX-License-Identifier: Apache-2.0
// What vector decoders look up, made from a payload's decode tables.
#pragma once
#include <array>
#include <cstdint>

#include "core/delta/payload.h"

namespace tenpak::delta {

struct BulkTables {
    const std::uint32_t* slots;
    unsigned bytes, lanes, precision, dropped, mantissa;  ///< mantissa: bits below the exponent, dropped ones included
    KeyKind keys;
    unsigned intervals;
    bool any_long;                                        ///< long: more than kRawStep raw bits
    std::uint32_t sign;                                   ///< of the shifted value

    // Contexts by key: from first_key on, the last entry for all higher ones; all keys where those are more than 64.
    std::uint32_t first_key = 0, last_entry = 0;
    alignas(64) std::array<std::uint16_t, 256> context{};
    // Symbols of 16-bit weights by number: their first value; raw bits, bit 15: absolute, bit 14: not kept.
    alignas(64) std::array<std::uint16_t, 256> begin16{};
    alignas(64) std::array<std::uint16_t, 256> info16{};

    // For decoders that look all up. By code: begin, and raw bits | negative << 8 | kept << 9 | absolute << 10.
    std::array<std::uint32_t, 256> context32{};           ///< all keys
    std::array<std::uint32_t, 256> info{}, begin{};

    BulkTables(const Payload& payload, const DecodeTables& t, KeyKind key_kind);
};

struct BulkInput {
    const std::byte* predicted;
    const std::uint8_t* keys;
    std::byte* raw;
    std::size_t weights;
    const std::byte* limit;  ///< a round begins only where its words begin here or before
};

}  // namespace tenpak::delta

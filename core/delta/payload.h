// SPDX-License-Identifier: Apache-2.0
// The frame of a weights payload (FORMAT.md "Weights"): what the encoder and every decoder agree on.
#pragma once
#include <cstdint>
#include <span>

#include "core/base/error.h"
#include "core/base/file.h"
#include "core/delta/float_layout.h"
#include "core/delta/weight_model.h"

namespace tenpak::delta {

inline constexpr std::uint8_t kPayloadVersion = 1;
/// No block is larger than this, decoded: a reader refuses more before it allocates.
inline constexpr std::size_t kMaxBlockBytes = std::size_t{64} << 20;

/// The parts of a payload, pointing into it.
struct Payload {
    FloatLayout layout;
    unsigned precision = 12;
    unsigned lanes = 1;
    std::span<const std::byte> model, words, raw_bits;  ///< words: `lanes` 32-bit states, then 16-bit words
};

/// States that pay for a block of `weights`: each costs 2 bytes.
inline unsigned lanes_for(std::uint64_t weights) { return weights >= 16384 ? 32 : weights >= 2048 ? 4 : 1; }

/// Checks version, layout, lengths; not the model.
Result<Payload> parse_payload(std::span<const std::byte> stored);

/// Everything a decoder looks up, flat: made from a checked model.
struct DecodeTables {
    std::vector<std::uint32_t> slots;     ///< [context << precision | slot]: rans_slot
    struct Symbol {
        std::uint32_t start = 0;
        std::uint8_t raw_bits = 0;
    };
    std::vector<Symbol> symbols;          ///< [context << 8 | number]
    std::vector<std::uint8_t> context_of; ///< [exponent of the base]; one entry without a base
    std::vector<std::uint8_t> anchored;   ///< [context]
    explicit DecodeTables(const WeightModel& model, bool with_base);
};

void put_varint(Bytes& out, std::uint64_t v);
/// LEB128, at most 5 bytes.
bool get_varint(std::span<const std::byte>& in, std::uint64_t& v);

}  // namespace tenpak::delta

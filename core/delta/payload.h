// SPDX-License-Identifier: Apache-2.0
// The frame of a weights payload (FORMAT.md "Weights payload"): what the encoder and every decoder agree on.
#pragma once
#include <array>
#include <cstdint>
#include <span>

#include "core/base/error.h"
#include "core/base/file.h"
#include "core/delta/float_layout.h"
#include "core/delta/rans.h"
#include "core/delta/weight_model.h"

namespace tenpak::delta {

inline constexpr std::uint8_t kPayloadVersion = 2;
/// No block is larger than this, decoded: a reader refuses more before it allocates.
inline constexpr std::size_t kMaxBlockBytes = std::size_t{64} << 20;

/// The parts of a payload, pointing into it.
struct Payload {
    FloatLayout layout;
    bool keyed = false;
    unsigned precision = 12;
    unsigned lanes = 1;
    std::span<const std::byte> model, words;  ///< words: `lanes` 32-bit states, then 16-bit words
};

/// States that pay for a block of `weights` whose words take about `bytes`: each costs 2 bytes, and decoders with vectors
/// want many (weight_decode_avx512-inl.h).
inline unsigned lanes_for(std::uint64_t weights, double bytes) {
    return weights < 2048 ? 1 : weights < 16384 ? 4 : bytes < 200e3 ? 64 : 128;
}

/// Checks version, layout, lengths; not the model.
Result<Payload> parse_payload(std::span<const std::byte> stored);

/// Everything a decoder looks up, flat: made from a checked model.
struct DecodeTables {
    std::vector<std::uint32_t> slots;          ///< [context << precision | slot]: rans_slot
    /// [code]: value = begin + raw bits, negated if `negative`; then the magnitude predicted is added unless `absolute`.
    struct Symbol {
        std::uint32_t begin = 0;
        std::uint8_t raw_bits = 0;
        bool negative = false, kept = false, absolute = false;  ///< kept: no sign change, turned by a mirrored key
    };
    std::array<Symbol, 256> symbols{};
    std::vector<std::uint8_t> context_of;      ///< [key], all keys
    unsigned most_raw_bits = 0;
    unsigned intervals = 0;                    ///< distinct ones
    /// May be called again for another model: keeps its memory.
    void assign(const WeightModel& model);
};

void put_varint(Bytes& out, std::uint64_t v);
/// LEB128, at most 5 bytes.
bool get_varint(std::span<const std::byte>& in, std::uint64_t& v);

}  // namespace tenpak::delta

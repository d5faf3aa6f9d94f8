// SPDX-License-Identifier: Apache-2.0
// Decoders of whole rounds of 32 weights with vector instructions. They stop where a round might read beyond a part's
// end; the scalar decoder does the rest and all the checks. Which one runs never changes a bit of the result.
#pragma once
#include <array>
#include <cstdint>

#include "core/delta/payload.h"
#include "core/delta/rans.h"

namespace tenpak::delta {

/// Where a decoder is in a payload.
struct DecodePosition {
    std::array<std::uint32_t, kMaxLanes> state{};
    const std::byte* word = nullptr;
    const std::byte* words_end = nullptr;
    std::uint64_t bit = 0;      ///< in the raw bits
    std::size_t weight = 0;
};

/// Whether this CPU runs it and the block is of a kind that it takes (16-bit weights, 32 states).
bool bulk_decoder_fits(const Payload& payload);
/// Advances `at` by whole rounds. `base` may be null. `n`: weights in the block.
void decode_bulk(const Payload& payload, const DecodeTables& tables, const std::byte* base, std::byte* raw, std::size_t n, DecodePosition& at);
/// For tests: false makes every block take the scalar way.
void allow_bulk_decoder(bool allow);

}  // namespace tenpak::delta

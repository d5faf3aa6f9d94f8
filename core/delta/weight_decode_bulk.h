// SPDX-License-Identifier: Apache-2.0
// Decoders of whole rounds with vector instructions (Highway: AVX2, AVX-512, NEON, chosen at run time). They stop where a
// round might read beyond the words' end; the scalar decoder does the rest and all the checks. Which one runs never
// changes a bit of the result.
#pragma once
#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include "core/delta/payload.h"
#include "core/delta/prediction.h"
#include "core/delta/rans.h"

namespace tenpak::delta {

/// Where a decoder is in a payload.
struct DecodePosition {
    std::array<std::uint32_t, kMaxLanes> state{};
    const std::byte* word = nullptr;
    const std::byte* words_end = nullptr;
    std::size_t weight = 0;
};

/// Advances `at` by whole rounds, by none where no vector decoder takes the payload. `weights`: in the block.
void decode_bulk(const Payload& payload, const DecodeTables& tables, KeyKind keys, const Prediction& prediction, std::byte* raw, std::size_t weights, DecodePosition& at);

/// For tests and benchmarks: the vector decoders that this CPU runs, best first, and the one to use from now on: one of
/// them, "scalar", or "" for the best. False for another name.
std::vector<std::string> bulk_decoders();
bool choose_bulk_decoder(const std::string& name);

}  // namespace tenpak::delta

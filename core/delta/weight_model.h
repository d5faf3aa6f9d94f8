// SPDX-License-Identifier: Apache-2.0
// The statistics of one block: which exponents of the base share a context, which alphabet each context uses, and how
// often each symbol comes. Written compactly (FORMAT.md "Model"), since a block can be as small as a norm's weights.
#pragma once
#include <cstdint>
#include <span>
#include <vector>

#include "core/base/error.h"
#include "core/base/file.h"
#include "core/delta/alphabet.h"

namespace tenpak::delta {

inline constexpr unsigned kMaxContexts = 16;
inline constexpr unsigned kMaxLive = 256;  ///< symbols of a context: a decoder's slot holds their number in 8 bits

struct ContextTable {
    bool anchored = false;
    std::uint8_t k = 0;
    std::vector<std::uint16_t> live;       ///< symbols of the alphabet that occur, ascending
    std::vector<std::uint16_t> root;       ///< quantized square root of each live symbol's count, 1 or more
    std::vector<std::uint16_t> frequency;  ///< of each live symbol, sum 2^precision
};

struct WeightModel {
    FloatLayout layout;
    unsigned precision = 12;                       ///< frequencies of a context sum to 2^precision
    std::uint32_t first_exponent = 0;              ///< of the base; lower ones use context 0
    std::vector<std::uint8_t> context_of;          ///< from first_exponent on; higher ones use the last context
    std::vector<ContextTable> contexts;
};

/// Counts at the finest detail: [exponent of the base][fine symbol]. Without a base all weights count under exponent 0
/// and only `absolute` is filled. `absolute_counts` ends with the last exponent that has them.
struct FineCounts {
    Alphabet anchored, absolute;
    std::vector<std::uint32_t> anchored_counts, absolute_counts;
    std::vector<std::uint32_t> weights;            ///< per exponent
    std::vector<std::uint8_t> has_absolute;        ///< per exponent: absolute_counts was filled
    bool with_base = false;
    explicit FineCounts(const FloatLayout& layout);
};

/// Sets `frequency` from `root`: squares, scaled to 2^precision, each at least 1. Integers only: the same everywhere.
void set_frequencies(ContextTable& table, unsigned precision);

/// Merges neighbouring exponents into contexts and chooses each one's alphabet by the bits it costs. No contexts at all
/// where the block has too many kinds of values for any alphabet.
WeightModel build_model(const FloatLayout& layout, const FineCounts& counts, std::uint64_t total_weights);
/// Bits of the weights under the model: entropy-coded part and raw part (the table not included).
struct ModelCost {
    double coded_bits = 0, raw_bits = 0;
};
ModelCost model_cost(const WeightModel& model, const FineCounts& counts);

void write_model(const WeightModel& model, bool with_base, Bytes& out);
/// Checks everything: contexts, symbols and frequencies fit. kMalformed otherwise.
Result<WeightModel> read_model(std::span<const std::byte> in, const FloatLayout& layout, unsigned precision, bool with_base);

}  // namespace tenpak::delta

// SPDX-License-Identifier: Apache-2.0
// The statistics of one block: which keys (exponents of the prediction, or given classes) share a context, which
// alphabet each context uses, and how often each symbol comes. Written compactly (FORMAT.md "Model"), since a block can
// be as small as a norm's weights.
#pragma once
#include <cstdint>
#include <span>
#include <vector>

#include "core/base/error.h"
#include "core/base/file.h"
#include "core/delta/alphabet.h"

namespace tenpak::delta {

inline constexpr unsigned kMaxContexts = 16;
inline constexpr unsigned kMaxLive = 256;      ///< symbols of a context: a decoder's code has 8 bits
/// Distinct intervals (Interval without its sign) of all contexts together, with a prediction: 7 bits of a decoder's code,
/// the eighth is the sign. Without a prediction there are only absolute symbols: kMaxLive.
inline constexpr unsigned kMaxIntervals = 128;

/// What chooses a weight's context.
enum class KeyKind : std::uint8_t { kNone, kExponent, kGiven };

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
    KeyKind keys = KeyKind::kNone;
    std::uint32_t first_key = 0;                   ///< lower ones use context 0
    std::vector<std::uint8_t> context_of;          ///< from first_key on; higher ones use the last entry
    std::vector<ContextTable> contexts;
};

/// A decoder's codes of symbols: one set for all contexts of a model. Intervals are numbered in the order in which they
/// come up; the code is the number, + 128 if negative.
struct Codes {
    std::vector<Interval> interval;                  ///< by number
    std::vector<std::vector<std::uint8_t>> of;       ///< [context][i-th live symbol]
    bool fit = false;                                ///< false: too many, and the rest is unfinished
    explicit Codes(const WeightModel& model);
};

/// Counts at the finest detail: [key - first_key][fine symbol]. Without a prediction all weights count under one key
/// and only `absolute` is filled. `absolute_counts` ends with the last key that has them.
struct FineCounts {
    Alphabet anchored, absolute;
    KeyKind keys = KeyKind::kNone;
    std::uint32_t first_key = 0;
    std::vector<std::uint32_t> anchored_counts, absolute_counts;
    std::vector<std::uint32_t> weights;            ///< per key
    std::vector<std::uint8_t> has_absolute;        ///< per key: absolute_counts was filled
    explicit FineCounts(const FloatLayout& layout);
    std::size_t rows() const { return weights.size(); }
};

/// Sets `frequency` from `root`: squares, scaled to 2^precision, each at least 1. Integers only: the same everywhere.
void set_frequencies(ContextTable& table, unsigned precision);

/// Bits of the weights under the model: entropy-coded part and raw part (the table not included).
struct ModelCost {
    double coded_bits = 0, raw_bits = 0;
};
struct BuiltModel {
    WeightModel model;
    ModelCost cost;
};
/// Merges keys into contexts (neighbouring exponents; classes of like statistics) and chooses each one's alphabet by the
/// bits it costs. No contexts at all where the block has too many kinds of values for any alphabet.
BuiltModel build_model(const FloatLayout& layout, const FineCounts& counts, std::uint64_t total_weights);

void write_model(const WeightModel& model, Bytes& out);
/// Checks everything: contexts, symbols and frequencies fit. kMalformed otherwise.
Result<WeightModel> read_model(std::span<const std::byte> in, const FloatLayout& layout, unsigned precision, KeyKind keys);

}  // namespace tenpak::delta

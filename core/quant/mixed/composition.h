// SPDX-License-Identifier: Apache-2.0
// Which format each unit gets: chosen exactly from measured sensitivities, with what it is predicted to cost.
#pragma once
#include <map>
#include <string>
#include <vector>

#include "core/quant/mixed/sensitivity.h"

namespace tenpak::quant {

struct Composition {
    std::vector<std::uint32_t> chosen;  ///< [unit]: index into Sensitivity::options
    std::uint64_t bytes = 0;            ///< of the linears, as stored
    double bits = 0;                    ///< bytes * 8 / weights
    double loss = 0;                    ///< predicted KL divergence, nats
    double percent() const;             ///< predicted rise of the perplexity: 100 (e^loss - 1)
};

/// Least loss with at most `bits` a weight. kInvalidArgument: not even the smallest formats are that small.
Result<Composition> compose_for_bits(const Sensitivity& s, double bits, const JobContext& ctx);
/// Smallest whose perplexity is predicted to rise by at most `percent`.
Result<Composition> compose_for_percent(const Sensitivity& s, double percent, const JobContext& ctx);
/// What `mixed` is without a number: the smallest that is predicted to lose at most half of what uniform INT4 (kProbedOption) loses.
Result<Composition> compose_default(const Sensitivity& s, const JobContext& ctx);
/// All units in one format.
Composition uniform(const Sensitivity& s, std::uint32_t option);
/// `points` of the front: rising in bytes, falling in loss.
Result<std::vector<Composition>> compositions(const Sensitivity& s, std::uint32_t points, const JobContext& ctx);

/// Seconds that one token takes for reading the linears, at bytes per second for each option of Sensitivity::options.
double decode_seconds(const Sensitivity& s, const Composition& c, std::span<const double> bytes_per_second);
/// "down: int8 g128 in layers 0-2, int4 g64 in 3", one line for each kind of unit.
std::vector<std::string> describe(const Sensitivity& s, const Composition& c);

}  // namespace tenpak::quant

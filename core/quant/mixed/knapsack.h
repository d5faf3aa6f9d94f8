// SPDX-License-Identifier: Apache-2.0
// The multiple-choice knapsack: one choice for every item, so that the sum of the losses is smallest within a budget of
// bytes, or the sum of the bytes smallest within a budget of loss. Exact (Nemhauser and Ullmann's lists of undominated
// states, thinned by the bound of the linear relaxation). Pure functions, thread-safe.
#pragma once
#include <cstdint>
#include <span>
#include <vector>

#include "core/base/job_context.h"

namespace tenpak::quant {

struct Choice {
    std::uint64_t bytes = 0;  ///< below 2^53 in total
    double loss = 0;          ///< finite, not negative
};
struct Selection {
    std::vector<std::uint32_t> chosen;  ///< one index for every item
    std::uint64_t bytes = 0;
    double loss = 0;
};

/// Smallest loss within `budget` bytes; of equal losses the fewest bytes. kInvalidArgument: an item without choices, a loss
/// that is no number, or a budget that not even the smallest choices meet (the message has their sum).
Result<Selection> least_loss(std::span<const std::vector<Choice>> items, std::uint64_t budget, const JobContext& ctx);
/// Fewest bytes with a loss of at most `limit`. Errors alike.
Result<Selection> fewest_bytes(std::span<const std::vector<Choice>> items, double limit, const JobContext& ctx);
/// least_loss() at `points` budgets spread evenly between the smallest and the largest sum of bytes: rising in bytes, falling
/// in loss, none twice.
Result<std::vector<Selection>> pareto_front(std::span<const std::vector<Choice>> items, std::uint32_t points, const JobContext& ctx);

}  // namespace tenpak::quant

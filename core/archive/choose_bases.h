// SPDX-License-Identifier: Apache-2.0
// Which models stay as bases so that all of them together are smallest, with deltas of depth one: a base is always in
// place. Pure decision over a table of costs. Internal to core/archive.
#pragma once
#include <cstddef>
#include <cstdint>
#include <limits>
#include <optional>
#include <vector>

namespace tenpak::archive {

inline constexpr double kNoDelta = std::numeric_limits<double>::infinity();

struct BaseChoice {
    std::vector<std::optional<std::size_t>> base;  ///< [model]; none: it stays
    double total = 0;                              ///< bytes
};
/// `alone[i]`: bytes of model i as it is. `delta[b][i]`: bytes of i as a delta of b, kNoDelta where they do not fit. A model
/// with `must_stay[i]` is never a delta. Of equal totals (within one percent), the models that come first in `seniority`
/// (lower is earlier) stay. Exact up to 14 models in a family, else greedy with exchanges.
BaseChoice choose_bases(const std::vector<double>& alone, const std::vector<std::vector<double>>& delta, const std::vector<bool>& must_stay,
                        const std::vector<std::int64_t>& seniority);

}  // namespace tenpak::archive

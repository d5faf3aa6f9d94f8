// SPDX-License-Identifier: Apache-2.0
// What `tenpak optimize` says at the end: the JSON of design section 4, and the same as a table.
#pragma once
#include <string>
#include <vector>

#include "core/base/json.h"
#include "core/jobs/sweep.h"
#include "core/optimizer/judge.h"

namespace tenpak::cli {

struct OptimizeReport {
    std::string job_id, status;  ///< "done", "cancelled"
    jobs::SweepSpec spec;
    optimizer::Limits limits;
    bool default_limits = false;
    optimizer::HardwarePrice price;
    bool stale_price = false;
    std::vector<std::string> notes;  ///< what one must know to read the figures
    std::vector<optimizer::Trial> trials;
    optimizer::Judgement judgement;
};

OrderedJson optimize_json(const OptimizeReport& r);
std::string optimize_text(const OptimizeReport& r);
/// Which limits each candidate failed, the closest and what would let it pass: for exit code 4.
std::string no_winner_text(const OptimizeReport& r);

}  // namespace tenpak::cli

// SPDX-License-Identifier: Apache-2.0
// What every linear of a candidate looks like: before quantizing, from config.json and the candidate alone; afterwards, from the
// weights. Layouts and engines are judged by these.
#pragma once
#include <compare>
#include <string>
#include <vector>

#include "core/quant/export_layout.h"

namespace tenpak::quant {

struct LinearForm {
    std::string name;
    std::uint32_t n = 0, k = 0;
    compute::WeightFormat format = compute::WeightFormat::kBF16;
    std::uint32_t group = 0;  ///< columns; k: one group a row
    bool symmetric = true, group_index = false;
    float outlier_threshold = 0;
    bool transposed = false;
    /// Linears with the same number share their input: engines fuse q, k and v, and gate and up, of a layer into one.
    std::uint32_t fused = 0;
};

/// Empty for kMixed, whose formats are known after its search only.
std::vector<LinearForm> planned_forms(const model::ModelConfig& config, const Candidate& candidate);
std::vector<LinearForm> actual_forms(const model::ModelConfig& config, const QuantizedModel& model);

/// As check_layout(), for these forms. `candidate`: for messages.
Status check_forms(Layout layout, const std::vector<LinearForm>& forms, const std::string& candidate);

}  // namespace tenpak::quant

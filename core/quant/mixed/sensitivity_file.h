// SPDX-License-Identifier: Apache-2.0
// Sensitivities as a JSON file, so that one measurement serves every size that is asked for, and a sweep that was cut off.
#pragma once
#include "core/quant/mixed/sensitivity.h"

namespace tenpak::quant {

/// Written whole or not at all. `fingerprint` says what they were measured on and how.
Status save_sensitivity(const fs::path& path, const Sensitivity& s, const std::string& fingerprint);
/// kNotFound, kMalformed (with what is wrong) or kMismatch (of something else): each a reason to measure.
Result<Sensitivity> load_sensitivity(const fs::path& path, const std::string& fingerprint);

}  // namespace tenpak::quant

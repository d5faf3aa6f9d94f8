// SPDX-License-Identifier: Apache-2.0
// From sensitivities to what a mixed candidate is made of: what quantize_many() asks.
#pragma once
#include "core/quant/mixed/composition.h"

namespace tenpak::quant {

/// From `file` where it holds what was measured under this fingerprint; else measured, and kept there. An empty `file`: measured.
/// Without `measure` kNotFound where nothing is kept.
Result<Sensitivity> find_sensitivity(std::shared_ptr<const ModelSource> source, std::span<const model::Token> calibration, const SensitivityOptions& options,
                                     compute::Backend& backend, const JobContext& ctx, const fs::path& file, const std::string& fingerprint, bool measure);
/// compose_for_bits(), or compose_default() for 0.
Result<Composition> compose(const Sensitivity& s, double target_bits, const JobContext& ctx);
/// Its notes tell the composition and what was predicted.
MixedPlan plan_of(const Sensitivity& s, const Composition& c);

}  // namespace tenpak::quant

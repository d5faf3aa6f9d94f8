// SPDX-License-Identifier: Apache-2.0
// The `mixed` candidate: sensitivity, choice, and the model in the chosen formats.
#pragma once
#include "core/quant/mixed/composition.h"

namespace tenpak::quant {

/// What quantize() does for Method::kMixed: measures, chooses by candidate.target_bits (0: compose_default), quantizes.
Result<QuantizedModel> quantize_mixed(std::shared_ptr<const ModelSource> source, const Candidate& candidate, std::span<const model::Token> calibration,
                                      const CalibrationOptions& options, compute::Backend& backend, const JobContext& ctx);
/// The model in a composition that was chosen already: one measurement serves any number of them. True sequential: every
/// linear sees the inputs that the already quantized part of the model gives it.
Result<QuantizedModel> quantize_composition(std::shared_ptr<const ModelSource> source, const Candidate& candidate, const Sensitivity& s,
                                            const Composition& composition, std::span<const model::Token> calibration,
                                            const CalibrationOptions& options, compute::Backend& backend, const JobContext& ctx);

}  // namespace tenpak::quant

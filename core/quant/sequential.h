// SPDX-License-Identifier: Apache-2.0
// GPTQ, true sequential (optimizer.md 1.4): every linear sees the inputs that the already quantized part of the model gives it.
#pragma once
#include "core/quant/calibration.h"
#include "core/quant/quantizer.h"

namespace tenpak::quant {

/// Quantizes one layer into job.result and sets it in `model`; `run` stays in front of the layer.
Status quantize_layer_sequential(Job& job, model::Transformer& model, CalibrationRun& run, std::uint32_t index);

}  // namespace tenpak::quant

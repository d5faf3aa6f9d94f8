// SPDX-License-Identifier: Apache-2.0
// Turns a model into a candidate's packed weights, layer by layer. Deterministic for any number of threads.
#pragma once
#include <memory>
#include <string>
#include <vector>

#include "core/base/job_context.h"
#include "core/compute/backend.h"
#include "core/model/transformer.h"
#include "core/quant/candidate.h"

namespace tenpak::quant {

struct CalibrationOptions {
    std::uint32_t sequences = 64, length = 256;
};

struct LayerError {
    std::string name;
    double relative = 0;     ///< ||W x - W' x||^2 / ||W x||^2 over the calibration inputs (over W itself without)
    double nearest = 0;      ///< the same of plain round-to-nearest with the same groups; equals `relative` where that is the method
    std::uint32_t group = 0; ///< the group size really used for this tensor
};

struct QuantizedModel {
    Candidate candidate;
    compute::WeightOverrides weights;
    std::vector<LayerError> errors;     ///< in layer order
    std::uint64_t stored_bytes = 0;     ///< weights as served: packed linears, the rest 16 bit
    std::uint64_t baseline_bytes = 0;   ///< the same model in 16 bit
    double bits_per_weight = 0;         ///< over the quantized linears
    std::vector<std::string> notes;     ///< "group 64 instead of 128 for 12 tensors: 576 is not a multiple of 128"
    double seconds = 0;
};

/// `calibration`: tokens, needed by AWQ and GPTQ (kInvalidArgument when too short). Embeddings, norms and head stay 16 bit.
Result<QuantizedModel> quantize(std::shared_ptr<const ModelSource> source, const Candidate& candidate,
                                std::span<const model::Token> calibration, const CalibrationOptions& options,
                                compute::Backend& backend, const JobContext& ctx);

/// Largest of `wanted`, 128, 64, 32 (not above `wanted`) that divides k; k itself where none does.
std::uint32_t group_for(std::uint32_t wanted, std::uint32_t k);

}  // namespace tenpak::quant

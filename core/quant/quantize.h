// SPDX-License-Identifier: Apache-2.0
// Turns a model into a candidate's packed weights, layer by layer. Deterministic for any number of threads.
#pragma once
#include <functional>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "core/base/job_context.h"
#include "core/compute/backend.h"
#include "core/model/transformer.h"
#include "core/quant/candidate.h"

namespace tenpak::quant {

struct CalibratedLayer;  // layer_pass.h

struct CalibrationOptions {
    std::uint32_t sequences = 64, length = 256;
    /// GPTQ: each linear sees the inputs that the already quantized part of the model gives it ("true sequential"), so that
    /// later layers make up for earlier errors. Costs passes of its own for each such candidate, for no gain beyond the noise on
    /// the sample (README.md); false: all share one pass.
    bool propagate = false;
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

/// What a mixed candidate is made of: the method and format of each linear, by tensor name, as a candidate (kNone: it stays in 16
/// bit), and what a user should know of the choice.
struct MixedPlan {
    std::map<std::string, Candidate> formats;
    std::vector<std::string> notes;
};

struct QuantizeManyOptions {
    CalibrationOptions calibration;
    /// A folder (made if need be) where each finished layer of each candidate is kept: a run that was cut off goes on there, with
    /// the same result, and a finished one costs no quantization. Kept apart by model, calibration, settings and version, checked
    /// when read; what is damaged is made anew. Empty: all results lie in memory until the pass is over.
    fs::path checkpoints;
    std::function<Status(CalibratedLayer&)> also;  ///< sees every layer of the pass, calibrated; may be empty
    /// Mixed candidates, by name, whose formats are chosen already. For others they are searched (mixed/README.md), which costs a pass
    /// of its own and some whole-model passes; with `checkpoints`, once for all sizes.
    std::map<std::string, MixedPlan> mixed;
};

/// All candidates in one pass over the layers: the calibration text runs through the unquantized model once, and each layer's
/// statistics serve all methods. In memory are the model, one layer in fp32 with its statistics, and without checkpoints the
/// results. `done` gets the results in the order of `candidates`, once all are made; its error ends the call.
Status quantize_many(std::shared_ptr<const ModelSource> source, std::span<const Candidate> candidates, std::span<const model::Token> calibration,
                     const QuantizeManyOptions& options, compute::Backend& backend, const JobContext& ctx, const std::function<Status(QuantizedModel)>& done);

/// What an earlier quantize_many with the same arguments left in options.checkpoints. kNotFound where a layer is missing or damaged.
Result<QuantizedModel> load_checkpoint(std::shared_ptr<const ModelSource> source, const Candidate& candidate, std::span<const model::Token> calibration,
                                       const QuantizeManyOptions& options, compute::Backend& backend, const JobContext& ctx);

/// What a model takes whose tensors are `weights` where those name them, and 16 bit else.
struct StoredSize {
    std::uint64_t bytes = 0, baseline_bytes = 0;  ///< baseline: all of it in 16 bit
    double bits_per_weight = 16;                  ///< over the quantized linears, and those of `dense`
};
/// `dense`: linears that count for bits_per_weight although they stay in 16 bit; may be empty.
StoredSize stored_size(const ModelSource& model, const compute::WeightOverrides& weights, const std::function<bool(const std::string& name)>& dense = {});

/// Largest of `wanted`, 128, 64, 32 (not above `wanted`) that divides k; k itself where none does.
std::uint32_t group_for(std::uint32_t wanted, std::uint32_t k);

}  // namespace tenpak::quant

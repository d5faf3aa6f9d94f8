// SPDX-License-Identifier: Apache-2.0
// One candidate on one layer, or one linear: what quantize.cpp does with every layer of the pass.
#pragma once
#include <memory>
#include <string>
#include <vector>

#include "core/quant/grid.h"
#include "core/quant/layer_pass.h"
#include "core/quant/quantize.h"
#include "core/quant/round_to_nearest.h"

namespace tenpak::quant {

/// How far all candidates of a pass are, in tensors.
struct PassProgress {
    std::uint64_t done = 0, total = 0;
};

/// One quantization under way: its inputs, and in `result` what it made so far (of a pass: of the layer at hand).
struct Job {
    std::shared_ptr<const ModelSource> source;
    model::ModelConfig config;
    JobContext ctx;
    ThreadPool* pool = nullptr;
    PassProgress* progress = nullptr;  ///< may be null
    const MixedPlan* mixed = nullptr;  ///< where the candidate is mixed
    QuantizedModel result;
    DType dtype = DType::kBF16;  ///< of the model's linears: 16-bit type that norms and biases are rounded to

    /// By whose method and format this linear is quantized: the job's own candidate, unless it is mixed.
    const Candidate& candidate_for(const std::string& linear) const;
    /// Leaves a linear as it is.
    void skip(const DenseLinear& linear) const;
    /// Candidate's bits and symmetry with the group that fits k.
    GroupFormat format_for(std::uint32_t k) const;
    /// A value as the model's 16-bit type holds it (fp32 models: bf16).
    float rounded(float v) const;
    /// Records a finished linear with its errors and reports progress.
    Status add(const DenseLinear& from, compute::LinearWeight weight, double relative_error, double nearest_error);
    void note_progress(const std::string& detail) const;
    void note(const std::string& text);  ///< once
};

/// The grid that `candidate` uses for rows of k weights of a model of this type.
GroupFormat group_format(const Candidate& candidate, std::uint32_t k, DType dtype);
/// Whether this format can hold rows of k weights at all (an even number for 4 bits); kUnsupported names `name`.
Status check_columns(const Candidate& candidate, std::uint32_t k, const std::string& name);

/// One linear on its own, by the candidate's method and format. `input` may be null for round-to-nearest. kAwq searches the
/// clipping only: its scales concern more than one linear. Without bias. Notes get what a user must know.
Result<compute::LinearWeight> quantize_linear(const DenseLinear& from, LayerInput* input, const Candidate& candidate, DType dtype, ThreadPool& pool,
                                              const JobContext& ctx, std::vector<std::string>& notes);
/// All linears of a layer, by the job's candidate, into job.result.
Status quantize_layer(Job& job, CalibratedLayer& layer);

/// Parts of quantize_layer.
Status quantize_layer_awq(Job& job, CalibratedLayer& layer);
/// `c.format` must be one that round-to-nearest knows: any but dense ones and kInt4Sparse.
compute::LinearWeight round_to_nearest(const DenseLinear& from, const Candidate& c, const GroupFormat& f, ThreadPool& pool);

}  // namespace tenpak::quant

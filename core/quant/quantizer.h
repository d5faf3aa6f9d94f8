// SPDX-License-Identifier: Apache-2.0
// What the per-method drivers (quantize_awq.cpp, quantize_gptq.cpp) and quantize.cpp share.
#pragma once
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "core/model/layout.h"
#include "core/quant/calibration.h"
#include "core/quant/grid.h"
#include "core/quant/quantize.h"

namespace tenpak::quant {

/// A dense weight of the model as stored (fused ones in one): w[n][k] in fp32, checked to be finite.
struct DenseLinear {
    std::string name;
    std::uint32_t n = 0, k = 0;
    std::vector<float> w, bias;
};

/// One quantization under way: its inputs, its result so far, its progress.
struct Job {
    std::shared_ptr<const ModelSource> source;
    model::ModelConfig config;
    JobContext ctx;
    ThreadPool* pool = nullptr;
    QuantizedModel result;
    DType dtype = DType::kBF16;  ///< of the model's linears: 16-bit type that norms and biases are rounded to

    Result<DenseLinear> read_linear(const model::StoredLinear& stored) const;
    /// Candidate's bits and symmetry with the group that fits k.
    GroupFormat format_for(std::uint32_t k) const;
    /// A value as the model's 16-bit type holds it (fp32 models: bf16).
    float rounded(float v) const;
    /// Records a finished linear with its errors and reports progress.
    Status add(const DenseLinear& from, compute::LinearWeight weight, double relative_error, double nearest_error);
    void note_progress(const std::string& detail) const;
    void note(const std::string& text);  ///< once
};

/// ||(W - W') x||^2 / ||W x||^2 over the calibration tokens; 0 where W x is 0 everywhere.
Result<double> relative_output_error(const DenseLinear& from, std::span<const float> restored, const Gram& gram, const Job& job);
/// The same of round-to-nearest: what a calibrated method has to beat.
Result<double> nearest_output_error(const DenseLinear& from, const GroupFormat& format, const Gram& gram, const Job& job);
/// ||W - W'||^2 / ||W||^2.
double relative_weight_error(std::span<const float> w, std::span<const float> restored);

/// `c.format` must be one that round-to-nearest knows: any but dense ones, kInt4Residual and kInt4Sparse.
compute::LinearWeight round_to_nearest(const DenseLinear& from, const Candidate& c, const GroupFormat& f, ThreadPool& pool);
Status quantize_round_to_nearest(Job& job);
Status quantize_awq(Job& job, model::Transformer& model, const CalibrationWindows& windows);
Status quantize_gptq(Job& job, model::Transformer& model, const CalibrationWindows& windows);

}  // namespace tenpak::quant

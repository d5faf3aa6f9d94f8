// SPDX-License-Identifier: Apache-2.0
#include "core/quant/quantizer.h"

#include <algorithm>
#include <cmath>

#include "core/base/half.h"
#include "core/model/weight_loader.h"
#include "core/quant/round_to_nearest.h"

namespace tenpak::quant {

Result<DenseLinear> Job::read_linear(const model::StoredLinear& stored) const {
    const std::string& name = stored.name;
    const TensorInfo* info = source->find(name);
    if (info == nullptr) {
        return make_error(ErrorCode::kNotFound, "the model lacks this weight", name,
                          "Is it a complete, unquantized model of the architecture that config.json names?");
    }
    const std::vector<std::uint64_t> shape = stored.transposed ? std::vector<std::uint64_t>{stored.k, stored.n} : std::vector<std::uint64_t>{stored.n, stored.k};
    if (info->shape != shape) return make_error(ErrorCode::kMismatch, "the weight has another shape than config.json asks for", name, "Check config.json and the weights");
    if (!is_float(info->dtype)) {
        return make_error(ErrorCode::kUnsupported, "this weight is stored as " + std::string(dtype_name(info->dtype)) +
                          ": only bf16, fp16, fp32 and fp64 can be quantized", name, "Start from the unquantized model");
    }
    DenseLinear linear;
    linear.name = name;
    linear.n = stored.n;
    linear.k = stored.k;
    TENPAK_ASSIGN(linear.w, source->read_float(*info));
    if (stored.transposed) linear.w = model::transposed(linear.w, stored.k, stored.n);
    if (!stored.bias.empty()) {
        const TensorInfo* bias = source->find(stored.bias);
        if (bias == nullptr) return make_error(ErrorCode::kNotFound, "the model lacks this bias", stored.bias);
        TENPAK_ASSIGN(linear.bias, source->read_float(*bias));
        if (linear.bias.size() != linear.n) return make_error(ErrorCode::kMismatch, "the bias does not fit its weight", bias->name);
    }
    const auto finite = [](float v) { return std::isfinite(v); };
    if (!std::all_of(linear.w.begin(), linear.w.end(), finite) || !std::all_of(linear.bias.begin(), linear.bias.end(), finite)) {
        return make_error(ErrorCode::kNumeric, "the weight holds NaN or infinity", name, "The model file is damaged or was trained to divergence");
    }
    return linear;
}

GroupFormat Job::format_for(std::uint32_t k) const {
    GroupFormat f;
    f.bits = result.candidate.bits;
    f.symmetric = result.candidate.symmetric;
    f.group = result.candidate.group == 0 ? k : group_for(result.candidate.group, k);
    if (dtype == DType::kF16) f.min_scale = 0x1p-17f;
    return f;
}

float Job::rounded(float v) const {
    return dtype == DType::kF16 ? fp16_to_float(float_to_fp16(v)) : bf16_to_float(float_to_bf16(v));
}

void Job::note(const std::string& text) {
    auto& notes = result.notes;
    if (std::find(notes.begin(), notes.end(), text) == notes.end()) notes.push_back(text);
}

void Job::note_progress(const std::string& detail) const {
    Progress p;
    p.phase = "quantize";
    p.done = result.errors.size();
    p.total = std::uint64_t{config.layers} * model::layer_layout(config, 0).linears.size();
    p.unit = "tensors";
    p.detail = detail;
    ctx.report(p);
}

Status Job::add(const DenseLinear& from, compute::LinearWeight weight, double relative_error, double nearest_error) {
    weight.bias = from.bias;
    TENPAK_RETURN_IF_ERROR(weight.validate(from.name));
    result.errors.push_back({from.name, relative_error, nearest_error, weight.group});
    result.weights.linears.insert_or_assign(from.name, std::move(weight));
    note_progress(from.name);
    return {};
}

Result<double> relative_output_error(const DenseLinear& from, std::span<const float> restored, const Gram& gram, const Job& job) {
    std::vector<float> d(from.w.size());
    for (std::size_t i = 0; i < d.size(); ++i) d[i] = restored[i] - from.w[i];
    TENPAK_ASSIGN(const double error, output_error(d.data(), from.n, gram, *job.pool, job.ctx));
    TENPAK_ASSIGN(const double power, output_error(from.w.data(), from.n, gram, *job.pool, job.ctx));
    return power > 0 ? error / power : 0.0;
}

Result<double> nearest_output_error(const DenseLinear& from, const GroupFormat& format, const Gram& gram, const Job& job) {
    std::vector<float> values(from.w.size());
    round_values(from.w.data(), from.n, from.k, format, values.data());
    return relative_output_error(from, values, gram, job);
}

double relative_weight_error(std::span<const float> w, std::span<const float> restored) {
    double error = 0, power = 0;
    for (std::size_t i = 0; i < w.size(); ++i) {
        const double d = static_cast<double>(restored[i]) - w[i];
        error += d * d;
        power += static_cast<double>(w[i]) * w[i];
    }
    return power > 0 ? error / power : 0.0;
}

compute::LinearWeight round_to_nearest(const DenseLinear& from, const Candidate& c, const GroupFormat& f, ThreadPool& pool) {
    using F = compute::WeightFormat;
    switch (c.format) {
        case F::kFp8Channel: return round_to_nearest_fp8(from.w, from.n, from.k, pool);
        case F::kNf4Group: return round_to_nearest_nf4(from.w, from.n, from.k, f.group, true, pool);
        case F::kInt8Channel:
            if (c.outlier_threshold > 0) return round_to_nearest_llm_int8(from.w, from.n, from.k, c.outlier_threshold, pool);
            return round_to_nearest_int8(from.w, from.n, from.k, 0, f.min_scale, pool);
        case F::kInt8Group: return round_to_nearest_int8(from.w, from.n, from.k, f.group, f.min_scale, pool);
        default: return round_to_nearest_int4(from.w, from.n, from.k, f, pool);
    }
}

Status quantize_round_to_nearest(Job& job) {
    const Candidate& c = job.result.candidate;
    for (std::uint32_t layer = 0; layer < job.config.layers; ++layer) {
        for (const model::StoredLinear& stored : model::layer_layout(job.config, layer).linears) {
            TENPAK_RETURN_IF_ERROR(job.ctx.check());
            TENPAK_ASSIGN(const DenseLinear from, job.read_linear(stored));
            const GroupFormat f = job.format_for(from.k);
            compute::LinearWeight q = round_to_nearest(from, c, f, *job.pool);
            const double error = relative_weight_error(from.w, q.dequantize());
            TENPAK_RETURN_IF_ERROR(job.add(from, std::move(q), error, error));
        }
    }
    return {};
}

}  // namespace tenpak::quant

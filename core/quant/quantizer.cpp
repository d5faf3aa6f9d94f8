// SPDX-License-Identifier: Apache-2.0
#include "core/quant/quantizer.h"

#include <algorithm>
#include <cmath>

#include "core/base/half.h"
#include "core/quant/awq.h"

namespace tenpak::quant {

using compute::WeightFormat;

GroupFormat group_format(const Candidate& candidate, std::uint32_t k, DType dtype) {
    GroupFormat f;
    f.bits = candidate.bits;
    f.symmetric = candidate.symmetric;
    f.group = candidate.group == 0 ? k : group_for(candidate.group, k);
    if (dtype == DType::kF16) f.min_scale = 0x1p-17f;
    return f;
}

Status check_columns(const Candidate& c, std::uint32_t k, const std::string& name) {
    const std::uint32_t group = c.group == 0 ? k : group_for(c.group, k);
    std::uint32_t multiple = 1;
    if (c.format == WeightFormat::kInt4Group || c.format == WeightFormat::kNf4Group) multiple = 2;
    if (c.format == WeightFormat::kInt4Residual) multiple = 4;
    if (c.format == WeightFormat::kInt4Sparse) multiple = 8;
    if (group % multiple == 0) return {};
    return make_error(ErrorCode::kUnsupported, std::string(weight_format_name(c.format)) + " needs rows of a multiple of " + std::to_string(multiple) +
                      " weights, this one has " + std::to_string(k), name, "Choose int8, or fp8");
}

GroupFormat Job::format_for(std::uint32_t k) const { return group_format(result.candidate, k, dtype); }

float Job::rounded(float v) const {
    return dtype == DType::kF16 ? fp16_to_float(float_to_fp16(v)) : bf16_to_float(float_to_bf16(v));
}

void Job::note(const std::string& text) {
    auto& notes = result.notes;
    if (std::find(notes.begin(), notes.end(), text) == notes.end()) notes.push_back(text);
}

void Job::note_progress(const std::string& detail) const {
    if (progress == nullptr) return;
    ctx.report({.phase = "quantize", .done = progress->done, .total = progress->total, .unit = "tensors", .detail = detail});
}

const Candidate& Job::candidate_for(const std::string& linear) const {
    if (mixed == nullptr) return result.candidate;
    static const Candidate none;
    const auto it = mixed->formats.find(linear);
    return it == mixed->formats.end() ? none : it->second;
}

void Job::skip(const DenseLinear& linear) const {
    if (progress != nullptr) ++progress->done;
    note_progress(linear.name);
}

Status Job::add(const DenseLinear& from, compute::LinearWeight weight, double relative_error, double nearest_error) {
    weight.bias = from.bias;
    TENPAK_RETURN_IF_ERROR(weight.validate(from.name));
    result.errors.push_back({from.name, relative_error, nearest_error, weight.group});
    result.weights.linears.insert_or_assign(from.name, std::move(weight));
    if (progress != nullptr) ++progress->done;
    note_progress(from.name);
    return {};
}

compute::LinearWeight round_to_nearest(const DenseLinear& from, const Candidate& c, const GroupFormat& f, ThreadPool& pool) {
    switch (c.format) {
        case WeightFormat::kFp8Channel: return round_to_nearest_fp8(from.w, from.n, from.k, pool);
        case WeightFormat::kNf4Group: return round_to_nearest_nf4(from.w, from.n, from.k, f.group, true, pool);
        case WeightFormat::kInt8Channel:
            if (c.outlier_threshold > 0) return round_to_nearest_llm_int8(from.w, from.n, from.k, c.outlier_threshold, pool);
            return round_to_nearest_int8(from.w, from.n, from.k, 0, f.min_scale, pool);
        case WeightFormat::kInt8Group: return round_to_nearest_int8(from.w, from.n, from.k, f.group, f.min_scale, pool);
        default: return round_to_nearest_int4(from.w, from.n, from.k, f, pool);
    }
}

namespace {

// Where the calibration text says nothing usable (or is not asked), rounding goes by the weights alone.
Result<compute::LinearWeight> without_statistics(const DenseLinear& from, const Candidate& c, const GroupFormat& f, ThreadPool& pool, const JobContext& ctx) {
    if (c.format != WeightFormat::kInt4Sparse) return round_to_nearest(from, c, f, pool);
    return gptq_sparse(from.w, from.n, identity_factor(from.k), f.group, f.min_scale, pool, ctx);
}

}  // namespace

Result<compute::LinearWeight> quantize_linear(const DenseLinear& from, LayerInput* input, const Candidate& c, DType dtype, ThreadPool& pool,
                                              const JobContext& ctx, std::vector<std::string>& notes) {
    TENPAK_RETURN_IF_ERROR(check_columns(c, from.k, from.name));
    const GroupFormat f = group_format(c, from.k, dtype);
    if (c.method == Method::kRoundToNearest) return without_statistics(from, c, f, pool, ctx);
    if (input == nullptr) return make_error(ErrorCode::kInvalidArgument, "this method needs a calibration text", c.name);
    if (c.method == Method::kAwq) {
        std::vector<float> clipped = from.w;
        TENPAK_RETURN_IF_ERROR(clip_awq(clipped, from.n, input->gram(), {}, f, pool, ctx));
        return round_to_nearest_int4(clipped, from.n, from.k, f, pool);
    }
    GptqOptions options;
    if (c.act_order) options.order = ColumnOrder::kByImportance;
    const auto factor = input->factor(f.group, options, pool, ctx);
    if (!factor.ok()) {
        if (factor.error().code != ErrorCode::kNumeric) return factor.error();
        notes.push_back(from.name + " is rounded to nearest: its calibration statistics cannot be inverted");
        return without_statistics(from, c, f, pool, ctx);
    }
    if ((*factor)->dead > 0) {
        notes.push_back(std::to_string((*factor)->dead) + " of " + std::to_string(from.k) + " input channels of " + input->name() +
                        " are silent on the calibration text: rounded to nearest");
    }
    if (c.format == WeightFormat::kInt4Sparse) return gptq_sparse(from.w, from.n, **factor, f.group, f.min_scale, pool, ctx);
    return gptq(from.w, from.n, **factor, f, c.clip, pool, ctx);
}

Status quantize_layer(Job& job, CalibratedLayer& layer) {
    if (job.result.candidate.method == Method::kAwq) return quantize_layer_awq(job, layer);
    for (std::size_t i = 0; i < layer.linears.size(); ++i) {
        TENPAK_RETURN_IF_ERROR(job.ctx.check());
        const DenseLinear& from = layer.linears[i];
        const Candidate& c = job.candidate_for(from.name);
        if (c.method == Method::kNone) {
            job.skip(from);
            continue;
        }
        std::vector<std::string> notes;
        TENPAK_ASSIGN(compute::LinearWeight q, quantize_linear(from, layer.input_of(i), c, job.dtype, *job.pool, job.ctx, notes));
        for (const std::string& n : notes) job.note(n);
        double error = 0, nearest = 0;
        if (c.method == Method::kRoundToNearest && job.mixed == nullptr) {  // the same figure with and without a calibration text
            error = nearest = relative_weight_error(from.w, q.dequantize());
        } else {
            TENPAK_ASSIGN(error, layer.relative_error(i, q.dequantize(), *job.pool, job.ctx));
            TENPAK_ASSIGN(nearest, layer.nearest_error(i, group_format(c, from.k, job.dtype), *job.pool, job.ctx));
        }
        TENPAK_RETURN_IF_ERROR(job.add(from, std::move(q), error, nearest));
    }
    return {};
}

}  // namespace tenpak::quant

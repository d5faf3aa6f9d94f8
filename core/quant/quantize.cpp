// SPDX-License-Identifier: Apache-2.0
#include "core/quant/quantize.h"

#include <chrono>
#include <map>
#include <new>

#include "core/base/json.h"
#include "core/quant/calibration.h"
#include "core/quant/mixed/quantize_mixed.h"
#include "core/quant/quantizer.h"

namespace tenpak::quant {
namespace {

// Tensors that got another group than the candidate's, one note for each width.
void note_groups(Job& job) {
    const std::uint32_t wanted = job.result.candidate.group;
    if (wanted == 0) return;
    std::map<std::pair<std::uint32_t, std::uint32_t>, int> odd;  // (k, group) -> tensors
    for (const LayerError& e : job.result.errors) {
        if (e.group != wanted) ++odd[{job.result.weights.linears.at(e.name).k, e.group}];
    }
    for (const auto& [key, count] : odd) {
        job.result.notes.push_back("group " + std::to_string(key.second) + " instead of " + std::to_string(wanted) + " for " +
                                   std::to_string(count) + (count == 1 ? " tensor: " : " tensors: ") + std::to_string(key.first) +
                                   " is not a multiple of " + std::to_string(wanted));
    }
}

void count_bytes(Job& job) {
    QuantizedModel& r = job.result;
    std::uint64_t linear_bytes = 0, linear_weights = 0;
    for (const TensorInfo& t : job.source->tensors()) {
        r.baseline_bytes += t.elements() * 2;
        if (!r.weights.linears.contains(t.name)) r.stored_bytes += t.elements() * 2;
    }
    for (const auto& [name, w] : r.weights.linears) {
        // The bias is a tensor of its own and was counted above.
        linear_bytes += w.stored_bytes() - std::uint64_t{w.bias.size()} * 2;
        linear_weights += std::uint64_t{w.n} * w.k;
    }
    r.stored_bytes += linear_bytes;
    r.bits_per_weight = linear_weights == 0 ? 16.0 : 8.0 * static_cast<double>(linear_bytes) / static_cast<double>(linear_weights);
}

Status run_calibrated(Job& job, std::span<const model::Token> text, const CalibrationOptions& options, compute::Backend& backend) {
    TENPAK_ASSIGN(const CalibrationWindows windows, cut_windows(text, options, job.config.max_positions));
    if (windows.count() < options.sequences) {
        job.note("calibrated on " + std::to_string(windows.tokens.size()) + " tokens: the text has no more windows of " + std::to_string(windows.length));
    }
    TENPAK_ASSIGN(const auto model, model::Transformer::load(job.source, {}, backend, {}, job.ctx));
    return job.result.candidate.method == Method::kAwq ? quantize_awq(job, *model, windows) : quantize_gptq(job, *model, windows);
}

Status refuse_quantized(const ModelSource& source) {
    const std::string where = source.id() + "/config.json";
    TENPAK_ASSIGN(const Bytes raw, source.read_side_file("config.json"));
    TENPAK_ASSIGN(const Json config, parse_json(as_text(raw), where));
    if (config.is_object() && !config.value("quantization_config", Json()).is_null()) {
        return make_error(ErrorCode::kUnsupported, "the model is quantized already", where, "Start from the 16-bit model");
    }
    return {};
}

Result<QuantizedModel> run(std::shared_ptr<const ModelSource> source, const Candidate& candidate, std::span<const model::Token> calibration,
                           const CalibrationOptions& options, compute::Backend& backend, const JobContext& ctx) {
    const auto begin = std::chrono::steady_clock::now();
    if (candidate.format == compute::WeightFormat::kInt4Group && (candidate.bits < 2 || candidate.bits > 4)) {
        return make_error(ErrorCode::kUnsupported, "4-bit groups hold codes of 2 to 4 bits", candidate.name);
    }
    Job job;
    TENPAK_ASSIGN(job.config, model::read_config(*source));
    TENPAK_RETURN_IF_ERROR(refuse_quantized(*source));
    if (candidate.method == Method::kMixed) return quantize_mixed(std::move(source), candidate, calibration, options, backend, ctx);
    job.source = std::move(source);
    job.ctx = ctx;
    job.result.candidate = candidate;
    ThreadPool pool(backend.threads());
    job.pool = &pool;
    if (const TensorInfo* t = job.source->find(model::layer_layout(job.config, 0).linears.front().name)) job.dtype = t->dtype;
    switch (candidate.method) {
        case Method::kNone: break;
        case Method::kMixed: break;  // done above
        case Method::kRoundToNearest: TENPAK_RETURN_IF_ERROR(quantize_round_to_nearest(job)); break;
        case Method::kAwq:
        case Method::kGptq: TENPAK_RETURN_IF_ERROR(run_calibrated(job, calibration, options, backend)); break;
    }
    note_groups(job);
    count_bytes(job);
    job.result.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
    return std::move(job.result);
}

}  // namespace

Result<QuantizedModel> quantize(std::shared_ptr<const ModelSource> source, const Candidate& candidate, std::span<const model::Token> calibration,
                                const CalibrationOptions& options, compute::Backend& backend, const JobContext& ctx) {
    try {
        return run(std::move(source), candidate, calibration, options, backend, ctx);
    } catch (const std::bad_alloc&) {
        return make_error(ErrorCode::kOutOfMemory, "out of memory while quantizing", candidate.name,
                          "Use fewer calibration sequences, or a machine with more memory");
    }
}

}  // namespace tenpak::quant

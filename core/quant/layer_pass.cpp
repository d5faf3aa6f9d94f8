// SPDX-License-Identifier: Apache-2.0
#include "core/quant/layer_pass.h"

#include <algorithm>
#include <cmath>

#include "core/model/weight_loader.h"
#include "core/quant/calibration.h"
#include "core/quant/round_to_nearest.h"

namespace tenpak::quant {

Result<DenseLinear> read_linear(const ModelSource& source, const model::StoredLinear& stored) {
    const std::string& name = stored.name;
    const TensorInfo* info = source.find(name);
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
    TENPAK_ASSIGN(linear.w, source.read_float(*info));
    if (stored.transposed) linear.w = model::transposed(linear.w, stored.k, stored.n);
    if (!stored.bias.empty()) {
        const TensorInfo* bias = source.find(stored.bias);
        if (bias == nullptr) return make_error(ErrorCode::kNotFound, "the model lacks this bias", stored.bias);
        TENPAK_ASSIGN(linear.bias, source.read_float(*bias));
        if (linear.bias.size() != linear.n) return make_error(ErrorCode::kMismatch, "the bias does not fit its weight", bias->name);
    }
    const auto finite = [](float v) { return std::isfinite(v); };
    if (!std::all_of(linear.w.begin(), linear.w.end(), finite) || !std::all_of(linear.bias.begin(), linear.bias.end(), finite)) {
        return make_error(ErrorCode::kNumeric, "the weight holds NaN or infinity", name, "The model file is damaged or was trained to divergence");
    }
    return linear;
}

Result<std::shared_ptr<const GptqFactor>> LayerInput::factor(std::uint32_t group, const GptqOptions& options, ThreadPool& pool, const JobContext& ctx) {
    auto& kept = factors_[{options.order == ColumnOrder::kByGroup ? group : 0, options.order}];
    if (!kept) {
        TENPAK_ASSIGN(GptqFactor f, factor_hessian(gram_, group, options, pool, ctx));
        kept = std::make_shared<const GptqFactor>(std::move(f));
    }
    return kept;
}

LayerInput* CalibratedLayer::input_of(std::size_t linear) {
    for (std::size_t g = 0; g < inputs.size(); ++g) {
        if (std::find(groups[g].begin(), groups[g].end(), linear) != groups[g].end()) return &inputs[g];
    }
    return nullptr;
}

Result<double> CalibratedLayer::relative_error(std::size_t linear, std::span<const float> restored, ThreadPool& pool, const JobContext& ctx) {
    const DenseLinear& from = linears[linear];
    const LayerInput* input = input_of(linear);
    std::vector<float> d(from.w.size());
    for (std::size_t i = 0; i < d.size(); ++i) d[i] = restored[i] - from.w[i];
    const auto square = [&](std::span<const float> v) -> Result<double> {
        if (input != nullptr) return output_error(v.data(), from.n, input->gram(), pool, ctx);
        double sum = 0;
        for (const float x : v) sum += static_cast<double>(x) * x;
        return sum;
    };
    auto power = power_.find(linear);
    if (power == power_.end()) {
        TENPAK_ASSIGN(const double p, square(from.w));
        power = power_.emplace(linear, p).first;
    }
    TENPAK_ASSIGN(const double error, square(d));
    return power->second > 0 ? error / power->second : 0.0;
}

Result<double> CalibratedLayer::nearest_error(std::size_t linear, const GroupFormat& format, ThreadPool& pool, const JobContext& ctx) {
    const auto key = std::tuple(linear, format.bits, format.group, format.symmetric);
    if (const auto it = nearest_.find(key); it != nearest_.end()) return it->second;
    const DenseLinear& from = linears[linear];
    std::vector<float> values(from.w.size());
    round_values(from.w.data(), from.n, from.k, format, values.data());
    TENPAK_ASSIGN(const double error, relative_error(linear, values, pool, ctx));
    nearest_.emplace(key, error);
    return error;
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

Status visit_layers(std::shared_ptr<const ModelSource> source, const model::ModelConfig& config, const CalibrationWindows& windows,
                    compute::Backend& backend, ThreadPool& pool, const JobContext& ctx, const LayerPass& pass) {
    const auto wanted = [&](std::uint32_t layer) { return !pass.wanted || pass.wanted(layer); };
    std::uint32_t end = config.layers;
    while (end > 0 && !wanted(end - 1)) --end;
    if (end == 0) return {};
    std::unique_ptr<model::Transformer> model;
    std::optional<CalibrationRun> run;
    if (pass.calibrate) {
        TENPAK_ASSIGN(model, model::Transformer::load(source, {}, backend, {}, ctx));
        TENPAK_ASSIGN(run, CalibrationRun::start(*model, windows));
    }
    for (std::uint32_t index = 0; index < end; ++index) {
        TENPAK_RETURN_IF_ERROR(ctx.check());
        if (!wanted(index)) {
            if (run) TENPAK_RETURN_IF_ERROR(run->run(index, {}, true, pool, ctx));
            continue;
        }
        if (pass.before) pass.before(index);
        CalibratedLayer layer;
        layer.index = index;
        layer.layout = model::layer_layout(config, index);
        layer.groups = layer.layout.groups();
        // Weights first: a damaged one is named before anything is computed with it.
        for (const model::StoredLinear& stored : layer.layout.linears) {
            TENPAK_ASSIGN(DenseLinear linear, read_linear(*source, stored));
            layer.linears.push_back(std::move(linear));
        }
        if (run) {
            std::vector<std::string> observed;
            for (const auto& members : layer.groups) observed.push_back(layer.layout.linears[members.front()].name);
            TENPAK_ASSIGN(auto grams, run->run(index, observed, index + 1 < end, pool, ctx));
            for (std::size_t g = 0; g < observed.size(); ++g) {
                for (const std::size_t i : layer.groups[g]) {
                    if (layer.linears[i].k != grams.at(observed[g]).k()) {
                        return make_error(ErrorCode::kMismatch, "the weight does not fit its layer's input", layer.linears[i].name);
                    }
                }
                layer.inputs.emplace_back(observed[g], std::move(grams.at(observed[g])));
            }
        }
        TENPAK_RETURN_IF_ERROR(pass.visit(layer));
    }
    return {};
}

}  // namespace tenpak::quant

// SPDX-License-Identifier: Apache-2.0
// AWQ on one layer (optimizer.md 1.3): it sees the inputs that the un-quantized model gives it. Scales are
// folded where they cost nothing at inference: q, k, v into the norm in front of attention, gate and up into the one in front
// of the MLP, down into up's rows (only where up and down have nothing but a product between them: not in a plain MLP), o
// into v's rows (only without grouped-query attention, where both have the same channels). Fused weights are quantized as
// stored; a fold into a part of one divides that part's rows.
#include <algorithm>

#include "core/quant/awq.h"
#include "core/quant/quantizer.h"
#include "core/quant/round_to_nearest.h"

namespace tenpak::quant {
namespace {

void scale_columns(DenseLinear& l, std::span<const float> s) {
    for (std::size_t i = 0; i < l.w.size(); ++i) l.w[i] *= s[i % l.k];
}
/// One divisor a row of the stored weight: `s` for the rows of `part`, 1 for others.
std::vector<float> row_factors(const DenseLinear& l, const model::LayerLayout::Part& part, std::span<const float> s) {
    std::vector<float> out(l.n, 1.0f);
    for (std::uint32_t i = 0; i < part.rows.count; ++i) out[part.rows.row(i)] = s[i];
    return out;
}
void divide_rows(DenseLinear& l, std::span<const float> s, const Job& job) {
    for (std::size_t i = 0; i < l.w.size(); ++i) l.w[i] /= s[i / l.k];
    for (std::size_t r = 0; r < l.bias.size(); ++r) {
        if (s[r] != 1.0f) l.bias[r] = job.rounded(l.bias[r] / s[r]);
    }
}

/// A norm in front of linears; its weight multiplies as weight + offset (Gemma stores w - 1).
struct FoldedNorm {
    const model::StoredNorm* names = nullptr;
    std::vector<float> weight, bias;
    float offset = 0;
    float stored(std::size_t c, float s, const Job& job) const { return job.rounded((weight[c] + offset) / s - offset); }
};

// Folds 1/s into a norm weight that is stored in 16 bit: `s` becomes what the rounded weight really divides by.
std::function<void(std::span<float>)> folded_into(const FoldedNorm& norm, const Job& job) {
    return [&norm, &job](std::span<float> s) {
        for (std::size_t c = 0; c < s.size(); ++c) {
            const float now = norm.stored(c, s[c], job) + norm.offset;
            const float exact = (norm.weight[c] + norm.offset) / now;
            s[c] = std::isfinite(now) && std::isfinite(exact) && exact > 0 ? exact : 1.0f;
        }
    };
}

Result<std::vector<float>> read_vector(const Job& job, const std::string& name, std::uint32_t dim) {
    const TensorInfo* info = job.source->find(name);
    if (info == nullptr) return make_error(ErrorCode::kNotFound, "the model lacks this weight", name);
    TENPAK_ASSIGN(std::vector<float> norm, job.source->read_float(*info));
    if (norm.size() != dim) return make_error(ErrorCode::kMismatch, "the norm does not fit its linear layers", name);
    for (const float v : norm) {
        if (!std::isfinite(v)) return make_error(ErrorCode::kNumeric, "the weight holds NaN or infinity", name);
    }
    return norm;
}
Result<FoldedNorm> read_norm(const Job& job, const model::StoredNorm& names) {
    FoldedNorm n;
    n.names = &names;
    n.offset = job.config.norm == model::NormKind::kRmsUnitOffset ? 1.0f : 0.0f;
    TENPAK_ASSIGN(n.weight, read_vector(job, names.weight, names.size));
    if (!names.bias.empty()) {
        TENPAK_ASSIGN(n.bias, read_vector(job, names.bias, names.size));
    }
    return n;
}
void store(const FoldedNorm& norm, std::span<const float> s, Job& job) {
    std::vector<float> weight(s.size());
    for (std::size_t c = 0; c < s.size(); ++c) weight[c] = norm.stored(c, s[c], job);
    job.result.weights.vectors[norm.names->weight] = std::move(weight);
    if (norm.bias.empty()) return;
    std::vector<float> bias(s.size());
    for (std::size_t c = 0; c < s.size(); ++c) bias[c] = job.rounded(norm.bias[c] / s[c]);
    job.result.weights.vectors[norm.names->bias] = std::move(bias);
}

/// A linear of the layer as scaled so far, and by what: columns multiplied by `in`, rows divided by `out` (either may be empty).
struct Scaled {
    DenseLinear linear;
    std::vector<float> in, out;
    bool clip = true;
};

Status finish(Job& job, CalibratedLayer& layer, std::size_t index, Scaled s) {
    DenseLinear& l = s.linear;
    const GroupFormat f = job.format_for(l.k);
    if (s.clip) TENPAK_RETURN_IF_ERROR(clip_awq(l.w, l.n, layer.input_of(index)->gram(), s.in, f, *job.pool, job.ctx));
    compute::LinearWeight q = round_to_nearest_int4(l.w, l.n, l.k, f, *job.pool);
    std::vector<float> restored = q.dequantize();
    for (std::size_t i = 0; i < restored.size(); ++i) {
        if (!s.in.empty()) restored[i] /= s.in[i % l.k];
        if (!s.out.empty()) restored[i] *= s.out[i / l.k];
    }
    TENPAK_ASSIGN(const double error, layer.relative_error(index, restored, *job.pool, job.ctx));
    TENPAK_ASSIGN(const double nearest, layer.nearest_error(index, f, *job.pool, job.ctx));
    return job.add(l, std::move(q), error, nearest);
}

}  // namespace

Status quantize_layer_awq(Job& job, CalibratedLayer& layer) {
    using model::Projection;
    const model::LayerLayout& layout = layer.layout;
    std::vector<Scaled> linears;
    for (const DenseLinear& l : layer.linears) {
        TENPAK_RETURN_IF_ERROR(check_columns(job.result.candidate, l.k, l.name));
        linears.push_back({.linear = l, .in = {}, .out = {}, .clip = true});
    }
    TENPAK_ASSIGN(const FoldedNorm input_norm, read_norm(job, layout.input_norm));
    TENPAK_ASSIGN(const FoldedNorm mlp_norm, read_norm(job, layout.mlp_norm));
    const auto exact = [](std::span<float>) {};  // the producer is quantized itself: any row factor will do

    const auto search = [&](std::size_t group, const std::function<void(std::span<float>)>& realize) -> Result<std::vector<float>> {
        std::vector<AwqTarget> targets;
        for (const std::size_t i : layer.groups[group]) targets.push_back({layer.linears[i].w.data(), layer.linears[i].n});
        const Gram& gram = layer.inputs[group].gram();
        TENPAK_ASSIGN(AwqScales s, search_awq_scales(targets, gram, job.format_for(gram.k()), realize, *job.pool, job.ctx));
        return std::move(s.scales);
    };
    const auto scale_inputs = [&](std::size_t group, const std::vector<float>& s) {
        for (const std::size_t i : layer.groups[group]) {
            scale_columns(linears[i].linear, s);
            linears[i].in = s;
        }
    };
    const auto fold_into_rows = [&](Projection producer, std::span<const float> s) {
        const auto& part = layout.parts[producer];
        Scaled& l = linears[static_cast<std::size_t>(part.linear)];
        l.out = row_factors(l.linear, part, s);
        divide_rows(l.linear, l.out, job);
    };
    // All searches see the original weights; the scales are applied afterwards, as published.
    TENPAK_ASSIGN(const std::vector<float> s_attention, search(0, folded_into(input_norm, job)));
    std::vector<float> s_o, s_down;
    if (layout.parts[model::kV].rows.count == layer.inputs[1].gram().k()) {
        TENPAK_ASSIGN(s_o, search(1, exact));
    }
    TENPAK_ASSIGN(const std::vector<float> s_mlp, search(2, folded_into(mlp_norm, job)));
    if (job.config.gated) {
        TENPAK_ASSIGN(s_down, search(3, exact));
    }
    scale_inputs(0, s_attention);
    scale_inputs(2, s_mlp);
    store(input_norm, s_attention, job);
    store(mlp_norm, s_mlp, job);
    if (!s_o.empty()) {
        scale_inputs(1, s_o);
        fold_into_rows(model::kV, s_o);
    }
    if (!s_down.empty()) {
        scale_inputs(3, s_down);
        fold_into_rows(model::kUp, s_down);
    }
    // Clipping q and k hurts the attention scores, which are products of both: left out, as published.
    for (const Projection p : {model::kQ, model::kK}) linears[static_cast<std::size_t>(layout.parts[p].linear)].clip = false;
    for (const auto& members : layer.groups) {
        for (const std::size_t i : members) TENPAK_RETURN_IF_ERROR(finish(job, layer, i, std::move(linears[i])));
    }
    return {};
}

}  // namespace tenpak::quant

// SPDX-License-Identifier: Apache-2.0
// AWQ over a whole model (optimizer.md 1.3): every layer sees the inputs that the un-quantized model gives it. Scales are
// folded where they cost nothing at inference: q, k, v into the input norm, gate and up into the post-attention norm, down
// into up's rows, o into v's rows (only without grouped-query attention, where both have the same channels).
#include <algorithm>

#include "core/quant/awq.h"
#include "core/quant/quantizer.h"
#include "core/quant/round_to_nearest.h"

namespace tenpak::quant {
namespace {

void scale_columns(DenseLinear& l, std::span<const float> s) {
    for (std::size_t i = 0; i < l.w.size(); ++i) l.w[i] *= s[i % l.k];
}
void divide_rows(DenseLinear& l, std::span<const float> s, const Job& job) {
    for (std::size_t i = 0; i < l.w.size(); ++i) l.w[i] /= s[i / l.k];
    for (std::size_t r = 0; r < l.bias.size(); ++r) l.bias[r] = job.rounded(l.bias[r] / s[r]);
}

// Folds 1/s into a norm weight that is stored in 16 bit: `s` becomes what the rounded weight really divides by.
std::function<void(std::span<float>)> folded_into(const std::vector<float>& norm, const Job& job) {
    return [&norm, &job](std::span<float> s) {
        for (std::size_t c = 0; c < s.size(); ++c) {
            const float stored = job.rounded(norm[c] / s[c]);
            const float exact = norm[c] / stored;
            s[c] = std::isfinite(stored) && std::isfinite(exact) && exact > 0 ? exact : 1.0f;
        }
    };
}

struct Layer {
    DenseLinear q, k, v, o, gate, up, down;
};

Result<std::vector<float>> read_norm(const Job& job, const std::string& name, std::uint32_t dim) {
    const TensorInfo* info = job.source->find(name);
    if (info == nullptr) return make_error(ErrorCode::kNotFound, "the model lacks this weight", name);
    TENPAK_ASSIGN(std::vector<float> norm, job.source->read_float(*info));
    if (norm.size() != dim) return make_error(ErrorCode::kMismatch, "the norm does not fit its linear layers", name);
    for (const float v : norm) {
        if (!std::isfinite(v)) return make_error(ErrorCode::kNumeric, "the weight holds NaN or infinity", name);
    }
    return norm;
}

// Quantizes a linear whose columns were multiplied by `in` and whose rows were divided by `out` (either may be empty).
Status finish(Job& job, const DenseLinear& original, DenseLinear scaled, std::span<const float> in, std::span<const float> out,
              const Gram& gram, bool clip) {
    const GroupFormat f = job.format_for(scaled.k);
    if (clip) TENPAK_RETURN_IF_ERROR(clip_awq(scaled.w, scaled.n, gram, in, f, *job.pool, job.ctx));
    compute::LinearWeight q = round_to_nearest_int4(scaled.w, scaled.n, scaled.k, f, *job.pool);
    std::vector<float> restored = q.dequantize();
    for (std::size_t i = 0; i < restored.size(); ++i) {
        if (!in.empty()) restored[i] /= in[i % scaled.k];
        if (!out.empty()) restored[i] *= out[i / scaled.k];
    }
    TENPAK_ASSIGN(const double error, relative_output_error(original, restored, gram, job));
    TENPAK_ASSIGN(const double nearest, nearest_output_error(original, f, gram, job));
    return job.add(scaled, std::move(q), error, nearest);
}

Status quantize_layer(Job& job, const DecoderLayer& names, const std::map<std::string, Gram>& grams) {
    Layer l;
    TENPAK_ASSIGN(l.q, job.read_linear(names.q));
    TENPAK_ASSIGN(l.k, job.read_linear(names.k));
    TENPAK_ASSIGN(l.v, job.read_linear(names.v));
    TENPAK_ASSIGN(l.o, job.read_linear(names.o));
    TENPAK_ASSIGN(l.gate, job.read_linear(names.gate));
    TENPAK_ASSIGN(l.up, job.read_linear(names.up));
    TENPAK_ASSIGN(l.down, job.read_linear(names.down));
    TENPAK_ASSIGN(std::vector<float> input_norm, read_norm(job, names.input_norm, l.q.k));
    TENPAK_ASSIGN(std::vector<float> post_norm, read_norm(job, names.post_attention_norm, l.gate.k));
    const Gram &attention_in = grams.at(names.q), &o_in = grams.at(names.o), &mlp_in = grams.at(names.gate), &down_in = grams.at(names.down);
    const auto exact = [](std::span<float>) {};  // the producer is quantized itself: any row factor will do

    const auto search = [&](std::initializer_list<const DenseLinear*> linears, const Gram& gram,
                            const std::function<void(std::span<float>)>& realize) -> Result<std::vector<float>> {
        std::vector<AwqTarget> targets;
        for (const DenseLinear* d : linears) targets.push_back({d->w.data(), d->n});
        TENPAK_ASSIGN(AwqScales s, search_awq_scales(targets, gram, job.format_for(gram.k()), realize, *job.pool, job.ctx));
        return std::move(s.scales);
    };
    // All searches see the original weights; the scales are applied afterwards, as published.
    TENPAK_ASSIGN(const std::vector<float> s_attention, search({&l.q, &l.k, &l.v}, attention_in, folded_into(input_norm, job)));
    std::vector<float> s_o;
    if (l.v.n == l.o.k && l.v.n == l.o.n && l.v.k == l.o.k) {
        TENPAK_ASSIGN(s_o, search({&l.o}, o_in, exact));
    }
    TENPAK_ASSIGN(const std::vector<float> s_mlp, search({&l.gate, &l.up}, mlp_in, folded_into(post_norm, job)));
    TENPAK_ASSIGN(const std::vector<float> s_down, search({&l.down}, down_in, exact));

    Layer scaled = l;
    for (DenseLinear* d : {&scaled.q, &scaled.k, &scaled.v}) scale_columns(*d, s_attention);
    for (DenseLinear* d : {&scaled.gate, &scaled.up}) scale_columns(*d, s_mlp);
    scale_columns(scaled.down, s_down);
    divide_rows(scaled.up, s_down, job);
    if (!s_o.empty()) {
        scale_columns(scaled.o, s_o);
        divide_rows(scaled.v, s_o, job);
    }
    for (std::size_t c = 0; c < input_norm.size(); ++c) input_norm[c] = job.rounded(input_norm[c] / s_attention[c]);
    for (std::size_t c = 0; c < post_norm.size(); ++c) post_norm[c] = job.rounded(post_norm[c] / s_mlp[c]);
    job.result.weights.vectors[names.input_norm] = std::move(input_norm);
    job.result.weights.vectors[names.post_attention_norm] = std::move(post_norm);

    // Clipping q and k hurts the attention scores, which are products of both: left out, as published.
    TENPAK_RETURN_IF_ERROR(finish(job, l.q, std::move(scaled.q), s_attention, {}, attention_in, false));
    TENPAK_RETURN_IF_ERROR(finish(job, l.k, std::move(scaled.k), s_attention, {}, attention_in, false));
    TENPAK_RETURN_IF_ERROR(finish(job, l.v, std::move(scaled.v), s_attention, s_o, attention_in, true));
    TENPAK_RETURN_IF_ERROR(finish(job, l.o, std::move(scaled.o), s_o, {}, o_in, true));
    TENPAK_RETURN_IF_ERROR(finish(job, l.gate, std::move(scaled.gate), s_mlp, {}, mlp_in, true));
    TENPAK_RETURN_IF_ERROR(finish(job, l.up, std::move(scaled.up), s_mlp, s_down, mlp_in, true));
    return finish(job, l.down, std::move(scaled.down), s_down, {}, down_in, true);
}

}  // namespace

Status quantize_awq(Job& job, model::Transformer& model, const CalibrationWindows& windows) {
    TENPAK_ASSIGN(CalibrationRun run, CalibrationRun::start(model, windows));
    for (std::uint32_t layer = 0; layer < job.config.layers; ++layer) {
        const DecoderLayer names(layer);
        job.note_progress("layer " + std::to_string(layer) + ": calibration");
        const std::vector<std::string> observed = {names.q, names.o, names.gate, names.down};
        TENPAK_ASSIGN(const auto grams, run.run(layer, observed, true, *job.pool, job.ctx));
        TENPAK_RETURN_IF_ERROR(quantize_layer(job, names, grams));
    }
    return {};
}

}  // namespace tenpak::quant

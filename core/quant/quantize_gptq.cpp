// SPDX-License-Identifier: Apache-2.0
// GPTQ over a whole model, true sequential (optimizer.md 1.4): every linear sees the inputs that the already quantized
// part of the model gives it, so that later layers make up for earlier errors.
#include "core/quant/gptq.h"

#include "core/quant/quantizer.h"
#include "core/quant/round_to_nearest.h"

namespace tenpak::quant {
namespace {

// Linears with one common input.
Status quantize_group(Job& job, model::Transformer& model, CalibrationRun& run, std::uint32_t layer,
                      const model::LayerLayout& layout, const std::vector<std::size_t>& members) {
    const std::string first = layout.linears[members.front()].name;
    const std::string observed[] = {first};
    TENPAK_ASSIGN(auto grams, run.run(layer, observed, false, *job.pool, job.ctx));
    const Gram& gram = grams.at(first);
    const GroupFormat f = job.format_for(gram.k());
    const auto factor = factor_hessian(gram, f.group, {}, *job.pool, job.ctx);
    if (!factor.ok() && factor.error().code != ErrorCode::kNumeric) return factor.error();
    if (factor.ok() && factor->dead > 0) {
        job.note(std::to_string(factor->dead) + " of " + std::to_string(gram.k()) + " input channels of " + first +
                 " are silent on the calibration text: rounded to nearest");
    }
    for (const std::size_t i : members) {
        const std::string& name = layout.linears[i].name;
        TENPAK_RETURN_IF_ERROR(job.ctx.check());
        TENPAK_ASSIGN(const DenseLinear from, job.read_linear(layout.linears[i]));
        if (from.k != gram.k()) return make_error(ErrorCode::kMismatch, "the weight does not fit its layer's input", name);
        compute::LinearWeight q;
        if (factor.ok()) {
            TENPAK_ASSIGN(q, gptq(from.w, from.n, *factor, f, *job.pool, job.ctx));
        } else {
            q = round_to_nearest_int4(from.w, from.n, from.k, f, *job.pool);
            job.note(name + " is rounded to nearest: its calibration statistics cannot be inverted");
        }
        TENPAK_ASSIGN(const double error, relative_output_error(from, q.dequantize(), gram, job));
        TENPAK_ASSIGN(const double nearest, nearest_output_error(from, f, gram, job));
        q.bias = from.bias;
        TENPAK_RETURN_IF_ERROR(model.set_linear(name, q));
        TENPAK_RETURN_IF_ERROR(job.add(from, std::move(q), error, nearest));
    }
    return {};
}

}  // namespace

Status quantize_gptq(Job& job, model::Transformer& model, const CalibrationWindows& windows) {
    TENPAK_ASSIGN(CalibrationRun run, CalibrationRun::start(model, windows));
    for (std::uint32_t layer = 0; layer < job.config.layers; ++layer) {
        const model::LayerLayout layout = model::layer_layout(job.config, layer);
        job.note_progress("layer " + std::to_string(layer) + ": calibration");
        for (const auto& members : layout.groups()) TENPAK_RETURN_IF_ERROR(quantize_group(job, model, run, layer, layout, members));
        if (layer + 1 < job.config.layers) {
            TENPAK_ASSIGN(const auto none, run.run(layer, {}, true, *job.pool, job.ctx));
            static_cast<void>(none);
        }
    }
    return {};
}

}  // namespace tenpak::quant

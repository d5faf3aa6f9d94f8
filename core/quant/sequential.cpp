// SPDX-License-Identifier: Apache-2.0
#include "core/quant/sequential.h"

#include <algorithm>

namespace tenpak::quant {

Status quantize_layer_sequential(Job& job, model::Transformer& model, CalibrationRun& run, std::uint32_t index) {
    CalibratedLayer layer;
    layer.index = index;
    layer.layout = model::layer_layout(job.config, index);
    layer.groups = layer.layout.groups();
    for (const model::StoredLinear& stored : layer.layout.linears) {
        TENPAK_ASSIGN(DenseLinear linear, read_linear(*job.source, stored));
        layer.linears.push_back(std::move(linear));
    }
    for (const auto& members : layer.groups) {
        const auto dense = [&](std::size_t i) { return job.candidate_for(layer.linears[i].name).method == Method::kNone; };
        if (std::all_of(members.begin(), members.end(), dense)) {
            for (const std::size_t i : members) job.skip(layer.linears[i]);
            layer.inputs.emplace_back(layer.linears[members.front()].name, Gram(layer.linears[members.front()].k));
            continue;
        }
        const std::string observed[] = {layer.linears[members.front()].name};
        TENPAK_ASSIGN(auto grams, run.run(index, observed, false, *job.pool, job.ctx));
        layer.inputs.emplace_back(observed[0], std::move(grams.at(observed[0])));
        for (const std::size_t i : members) {
            TENPAK_RETURN_IF_ERROR(job.ctx.check());
            const DenseLinear& from = layer.linears[i];
            if (from.k != layer.inputs.back().gram().k()) return make_error(ErrorCode::kMismatch, "the weight does not fit its layer's input", from.name);
            const Candidate& c = job.candidate_for(from.name);
            if (c.method == Method::kNone) {
                job.skip(from);
                continue;
            }
            std::vector<std::string> notes;
            TENPAK_ASSIGN(compute::LinearWeight q, quantize_linear(from, &layer.inputs.back(), c, job.dtype, *job.pool, job.ctx, notes));
            for (const std::string& n : notes) job.note(n);
            TENPAK_ASSIGN(const double error, layer.relative_error(i, q.dequantize(), *job.pool, job.ctx));
            TENPAK_ASSIGN(const double nearest, layer.nearest_error(i, group_format(c, from.k, job.dtype), *job.pool, job.ctx));
            q.bias = from.bias;
            TENPAK_RETURN_IF_ERROR(model.set_linear(from.name, q));
            TENPAK_RETURN_IF_ERROR(job.add(from, std::move(q), error, nearest));
        }
    }
    return {};
}

}  // namespace tenpak::quant

// SPDX-License-Identifier: Apache-2.0
#include "core/quant/mixed/quantize_mixed.h"

#include <chrono>
#include <cstdio>
#include <new>

#include "core/quant/calibration.h"

namespace tenpak::quant {
namespace {

// All linears of a unit in its format, from the inputs that the model as quantized so far gives them.
Status quantize_unit(Job& job, model::Transformer& model, CalibrationRun& run, const model::LayerLayout& layout, const std::vector<std::size_t>& members,
                     const FormatOption& option, std::uint32_t layer) {
    if (option.dense()) return {};
    const std::string observed[] = {layout.linears[members.front()].name};
    TENPAK_ASSIGN(const auto grams, run.run(layer, observed, false, *job.pool, job.ctx));
    const Gram& gram = grams.at(observed[0]);
    SharedInput input(gram, job);
    for (const std::size_t i : members) {
        TENPAK_RETURN_IF_ERROR(job.ctx.check());
        TENPAK_ASSIGN(const DenseLinear from, job.read_linear(layout.linears[i]));
        if (!option.fits(from.k)) continue;
        if (from.k != gram.k()) return make_error(ErrorCode::kMismatch, "the weight does not fit its layer's input", from.name);
        TENPAK_ASSIGN(compute::LinearWeight q, input.quantize(from, option));
        TENPAK_ASSIGN(const double error, relative_output_error(from, q.dequantize(), gram, job));
        GroupFormat plain;
        plain.bits = option.bits;
        plain.group = option.group_of(from.k);
        plain.symmetric = option.bits == 8;
        TENPAK_ASSIGN(const double nearest, nearest_output_error(from, plain, gram, job));
        TENPAK_RETURN_IF_ERROR(model.set_linear(from.name, q));
        TENPAK_RETURN_IF_ERROR(job.add(from, std::move(q), error, nearest));
    }
    return {};
}

// As quantize() counts, but linears left in 16 bit count, too: a composition's bits are over all of them.
void count_bytes(Job& job, const Sensitivity& s) {
    QuantizedModel& r = job.result;
    std::uint64_t linear_bytes = 0;
    for (const TensorInfo& t : job.source->tensors()) {
        r.baseline_bytes += t.elements() * 2;
        if (!r.weights.linears.contains(t.name)) r.stored_bytes += t.elements() * 2;
    }
    for (const MixedUnit& u : s.units) {
        for (const std::string& name : u.names) {
            const auto it = r.weights.linears.find(name);
            if (it == r.weights.linears.end()) {
                linear_bytes += job.source->find(name)->elements() * 2;
                continue;
            }
            const std::uint64_t bytes = it->second.stored_bytes() - std::uint64_t{it->second.bias.size()} * 2;
            linear_bytes += bytes;
            r.stored_bytes += bytes;
        }
    }
    r.bits_per_weight = s.weights() == 0 ? 16.0 : 8.0 * static_cast<double>(linear_bytes) / static_cast<double>(s.weights());
}

void note_composition(Job& job, const Sensitivity& s, const Composition& c) {
    for (const std::string& line : describe(s, c)) job.note(line);
    char text[160];
    std::snprintf(text, sizeof text, "predicted from sensitivities: perplexity %+.2f %% at %.3f bits a weight", c.percent(), c.bits);
    job.note(text);
    for (const std::string& note : s.notes) job.note(note);
}

Result<QuantizedModel> run(std::shared_ptr<const ModelSource> source, const Candidate& candidate, const Sensitivity& s, const Composition& c,
                           std::span<const model::Token> calibration, const CalibrationOptions& options, compute::Backend& backend, const JobContext& ctx) {
    const auto begin = std::chrono::steady_clock::now();
    Job job;
    TENPAK_ASSIGN(job.config, model::read_config(*source));
    job.source = std::move(source);
    job.ctx = ctx;
    job.result.candidate = candidate;
    ThreadPool pool(backend.threads());
    job.pool = &pool;
    if (const TensorInfo* t = job.source->find(model::layer_layout(job.config, 0).linears.front().name)) job.dtype = t->dtype;
    TENPAK_ASSIGN(const CalibrationWindows windows, cut_windows(calibration, options, job.config.max_positions));
    TENPAK_ASSIGN(const auto model, model::Transformer::load(job.source, {}, backend, {}, job.ctx));
    TENPAK_ASSIGN(CalibrationRun pass, CalibrationRun::start(*model, windows));
    std::size_t unit = 0;
    for (std::uint32_t layer = 0; layer < job.config.layers; ++layer) {
        const model::LayerLayout layout = model::layer_layout(job.config, layer);
        job.note_progress("layer " + std::to_string(layer) + ": calibration");
        for (const auto& members : layout.groups()) {
            if (unit >= c.chosen.size() || s.units[unit].layer != layer || s.units[unit].names.size() != members.size()) {
                return make_error(ErrorCode::kMismatch, "the sensitivities are of another model", candidate.name);
            }
            TENPAK_RETURN_IF_ERROR(quantize_unit(job, *model, pass, layout, members, s.options[c.chosen[unit]], layer));
            ++unit;
        }
        if (layer + 1 < job.config.layers) {
            TENPAK_ASSIGN(const auto none, pass.run(layer, {}, true, *job.pool, job.ctx));
            static_cast<void>(none);
        }
    }
    if (unit != s.units.size()) return make_error(ErrorCode::kMismatch, "the sensitivities are of another model", candidate.name);
    count_bytes(job, s);
    note_composition(job, s, c);
    job.result.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
    return std::move(job.result);
}

}  // namespace

Result<QuantizedModel> quantize_composition(std::shared_ptr<const ModelSource> source, const Candidate& candidate, const Sensitivity& s,
                                            const Composition& composition, std::span<const model::Token> calibration,
                                            const CalibrationOptions& options, compute::Backend& backend, const JobContext& ctx) {
    try {
        return run(std::move(source), candidate, s, composition, calibration, options, backend, ctx);
    } catch (const std::bad_alloc&) {
        return make_error(ErrorCode::kOutOfMemory, "out of memory while quantizing", candidate.name, "Use fewer calibration sequences, or a machine with more memory");
    }
}

Result<QuantizedModel> quantize_mixed(std::shared_ptr<const ModelSource> source, const Candidate& candidate, std::span<const model::Token> calibration,
                                      const CalibrationOptions& options, compute::Backend& backend, const JobContext& ctx) {
    const auto begin = std::chrono::steady_clock::now();
    SensitivityOptions measure;
    measure.calibration = options;
    TENPAK_ASSIGN(const Sensitivity s, measure_sensitivity(source, calibration, measure, backend, ctx));
    Composition c;
    if (candidate.target_bits > 0) {
        TENPAK_ASSIGN(c, compose_for_bits(s, candidate.target_bits, ctx));
    } else {
        TENPAK_ASSIGN(c, compose_default(s, ctx));
    }
    TENPAK_ASSIGN(QuantizedModel model, quantize_composition(std::move(source), candidate, s, c, calibration, options, backend, ctx));
    model.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
    return model;
}

}  // namespace tenpak::quant

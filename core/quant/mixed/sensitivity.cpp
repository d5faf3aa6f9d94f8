// SPDX-License-Identifier: Apache-2.0
#include "core/quant/mixed/sensitivity.h"

#include <algorithm>
#include <cmath>
#include <new>
#include <numeric>

#include "core/base/half.h"
#include "core/quant/calibration.h"
#include "core/quant/quantizer.h"

namespace tenpak::quant {
namespace {

using Units = std::vector<std::uint32_t>;

std::string last_part(std::string name) {
    if (name.ends_with(".weight")) name.resize(name.size() - 7);
    name = name.substr(name.rfind('.') + 1);
    if (name.ends_with("_proj")) name.resize(name.size() - 5);
    return name;
}

/// The state of one measurement: what is shared by its steps.
struct Measurement {
    std::shared_ptr<const ModelSource> source;
    const model::ModelConfig& config;
    const SensitivityOptions& options;
    ThreadPool& pool;
    const JobContext& ctx;
    DType dtype = DType::kBF16;
    Sensitivity result = {};
    std::vector<std::vector<compute::LinearWeight>> base = {};  // [unit]: its linears in options[kProbedOption]

    void report(const char* phase, std::size_t done, std::size_t total, const char* unit, const std::string& detail) const {
        ctx.report({phase, done, total, unit, detail});
    }
    void note(const std::string& text) {
        if (std::find(result.notes.begin(), result.notes.end(), text) == result.notes.end()) result.notes.push_back(text);
    }
};

/// The weight in the model's own 16-bit type (fp32 models: bf16).
compute::LinearWeight dense_linear(const DenseLinear& from, DType dtype) {
    compute::LinearWeight q;
    q.format = dtype == DType::kF16 ? compute::WeightFormat::kF16 : compute::WeightFormat::kBF16;
    q.n = from.n;
    q.k = from.k;
    q.bias = from.bias;
    q.half.resize(from.w.size());
    for (std::size_t i = 0; i < from.w.size(); ++i) q.half[i] = dtype == DType::kF16 ? float_to_fp16(from.w[i]) : float_to_bf16(from.w[i]);
    return q;
}

// Rows whose errors stand for all of them: every n-th. Rows are quantized independently, and the mean over so many is within a
// few percent of the whole.
constexpr std::uint32_t kErrorRows = 256;

std::vector<std::uint32_t> sampled_rows(std::uint32_t n) {
    std::vector<std::uint32_t> rows(std::min(n, kErrorRows));
    for (std::size_t i = 0; i < rows.size(); ++i) rows[i] = static_cast<std::uint32_t>(i * n / rows.size());
    return rows;
}
DenseLinear rows_of(const DenseLinear& from, const std::vector<std::uint32_t>& rows) {
    DenseLinear out{from.name, static_cast<std::uint32_t>(rows.size()), from.k, {}, {}};
    out.w.reserve(std::size_t{out.n} * out.k);
    for (const std::uint32_t r : rows) {
        const auto begin = from.w.begin() + static_cast<std::ptrdiff_t>(std::size_t{r} * from.k);
        out.w.insert(out.w.end(), begin, begin + static_cast<std::ptrdiff_t>(from.k));
    }
    return out;
}

// The linears of one input in every format: errors and bytes.
Status measure_unit(Measurement& m, CalibratedLayer& layer, std::uint32_t kind) {
    const auto& options = m.result.options;
    LayerInput& input = layer.inputs[kind];
    MixedUnit unit;
    unit.layer = layer.index;
    unit.kind = kind;
    unit.columns = input.gram().k();
    std::vector<double> errors(options.size());
    std::vector<Choice> choices(options.size());
    std::vector<compute::LinearWeight> base;
    for (const std::size_t member : layer.groups[kind]) {
        const DenseLinear& from = layer.linears[member];
        const std::vector<std::uint32_t> rows = sampled_rows(from.n);
        const DenseLinear sample = rows_of(from, rows);
        TENPAK_ASSIGN(const double power, output_error(sample.w.data(), sample.n, input.gram(), m.pool, m.ctx));
        double error = 0;
        for (std::size_t o = 0; o < options.size(); ++o) {
            TENPAK_RETURN_IF_ERROR(m.ctx.check());
            // The probed format is made whole, for the probes; of the others a sample of rows says enough.
            const bool whole = o == kProbedOption;
            const bool same = o > 0 && options[o].candidate.format == options[o - 1].candidate.format && options[o].group_of(from.k) == options[o - 1].group_of(from.k);
            const bool dense = options[o].dense() || !options[o].fits(from.k);
            if (dense) {
                error = 0;
                if (whole) base.push_back(dense_linear(from, m.dtype));
            } else if (!same || whole) {
                std::vector<std::string> notes;
                TENPAK_ASSIGN(compute::LinearWeight q, quantize_linear(whole ? from : sample, &input, options[o].candidate, m.dtype, m.pool, m.ctx, notes));
                std::vector<float> d = q.dequantize();
                if (whole) d = rows_of({{}, from.n, from.k, std::move(d), {}}, rows).w;
                for (std::size_t i = 0; i < d.size(); ++i) d[i] -= sample.w[i];
                TENPAK_ASSIGN(error, output_error(d.data(), sample.n, input.gram(), m.pool, m.ctx));
                error = power > 0 ? error / power : 0.0;
                if (whole) {
                    q.bias = from.bias;
                    base.push_back(std::move(q));
                }
            }
            errors[o] += error / static_cast<double>(layer.groups[kind].size());
            choices[o].bytes += options[o].bytes(from.n, from.k);
        }
        unit.names.push_back(from.name);
        unit.weights += std::uint64_t{from.n} * from.k;
    }
    m.result.units.push_back(std::move(unit));
    m.result.errors.push_back(std::move(errors));
    m.result.choices.push_back(std::move(choices));
    m.base.push_back(std::move(base));
    return {};
}

Status measure_layers(Measurement& m, const CalibrationWindows& windows, compute::Backend& backend) {
    LayerPass pass;
    pass.before = [&](std::uint32_t layer) { m.report("sensitivity", layer, m.config.layers, "layers", "layer " + std::to_string(layer)); };
    pass.visit = [&](CalibratedLayer& layer) -> Status {
        for (std::uint32_t kind = 0; kind < layer.groups.size(); ++kind) TENPAK_RETURN_IF_ERROR(measure_unit(m, layer, kind));
        return {};
    };
    TENPAK_RETURN_IF_ERROR(visit_layers(m.source, m.config, windows, backend, m.pool, m.ctx, pass));
    m.report("sensitivity", m.config.layers, m.config.layers, "layers", {});
    return {};
}

// Windows in the gaps between the calibration windows: GPTQ has fitted those. Where there are no gaps, some of them.
std::vector<model::Token> probe_windows(std::span<const model::Token> text, const CalibrationWindows& windows, std::uint32_t tokens, bool* fresh) {
    const std::size_t length = windows.length, count = windows.count();
    const std::size_t wanted = std::min<std::size_t>(std::max<std::size_t>(1, tokens / length), count);
    const std::size_t step = count > 1 ? (text.size() - length) / (count - 1) : 0;
    *fresh = step >= 2 * length && count > 1;
    std::vector<model::Token> out;
    for (std::size_t i = 0; i < wanted; ++i) {
        const std::size_t w = i * count / wanted;
        if (*fresh) {
            const std::size_t gap = std::min(w, count - 2);
            const std::size_t begin = (text.size() - length) * gap / (count - 1) + length + (step - 2 * length) / 2;
            out.insert(out.end(), text.begin() + static_cast<std::ptrdiff_t>(begin), text.begin() + static_cast<std::ptrdiff_t>(begin + length));
        } else {
            const auto begin = windows.tokens.begin() + static_cast<std::ptrdiff_t>(w * length);
            out.insert(out.end(), begin, begin + static_cast<std::ptrdiff_t>(length));
        }
    }
    return out;
}

/// Which passes are made, and how the units share what they measure.
struct ProbePlan {
    std::vector<ProbeRecord> probes;  // every unit, kinds, blocks (or single units), held out
    std::vector<std::uint32_t> kind, block;  // [unit]
    std::size_t kinds = 0, blocks = 0;       // 0: single units
};

ProbePlan plan_probes(const Sensitivity& s, std::uint32_t layers, std::uint32_t max_probes) {
    ProbePlan plan;
    const std::size_t count = s.units.size();
    const auto probe = [&](std::string what, Units units, bool fitted) { plan.probes.push_back({std::move(what), std::move(units), {}, 0, fitted}); };
    Units all(count);
    std::iota(all.begin(), all.end(), 0u);
    probe("all", all, true);
    std::uint32_t kinds = 0;
    for (const MixedUnit& u : s.units) kinds = std::max(kinds, u.kind + 1);
    if (count <= max_probes) {
        for (const std::uint32_t u : all) probe(kind_name(s.units[u]) + " of layer " + std::to_string(s.units[u].layer), {u}, true);
    } else {
        plan.kinds = kinds;
        // At least two blocks, whatever the budget says: one would say nothing.
        plan.blocks = std::clamp<std::size_t>(max_probes > kinds ? max_probes - kinds : 0, std::min(2u, layers), layers);
        for (const MixedUnit& u : s.units) {
            plan.kind.push_back(u.kind);
            plan.block.push_back(static_cast<std::uint32_t>(std::uint64_t{u.layer} * plan.blocks / layers));
        }
        for (std::uint32_t k = 0; k < kinds; ++k) {
            Units of;
            for (const std::uint32_t u : all) {
                if (plan.kind[u] == k) of.push_back(u);
            }
            probe(kind_name(s.units[of.front()]) + " of all layers", of, true);
        }
        for (std::uint32_t b = 0; b < plan.blocks; ++b) {
            Units of;
            for (const std::uint32_t u : all) {
                if (plan.block[u] == b) of.push_back(u);
            }
            const std::uint32_t first = s.units[of.front()].layer, last = s.units[of.back()].layer;
            probe(first == last ? "layer " + std::to_string(first) : "layers " + std::to_string(first) + "-" + std::to_string(last), of, true);
        }
    }
    Units every_other;
    for (const std::uint32_t u : all) {
        if ((s.units[u].layer + s.units[u].kind) % 2 == 0) every_other.push_back(u);
    }
    probe("every other one", every_other, false);
    return plan;
}

Status run_probe(Measurement& m, model::Transformer& model, WholeModelProbe& probe, ProbeRecord& record) {
    for (const std::uint32_t u : record.units) {
        for (std::size_t i = 0; i < m.base[u].size(); ++i) TENPAK_RETURN_IF_ERROR(model.set_linear(m.result.units[u].names[i], m.base[u][i]));
    }
    TENPAK_ASSIGN(record.measured, probe.measure(m.pool, m.ctx));
    for (const std::uint32_t u : record.units) {
        const model::LayerLayout layout = model::layer_layout(m.config, m.result.units[u].layer);
        const auto groups = layout.groups();
        for (const std::size_t i : groups[m.result.units[u].kind]) {
            TENPAK_RETURN_IF_ERROR(m.ctx.check());
            TENPAK_ASSIGN(const DenseLinear from, read_linear(*m.source, layout.linears[i]));
            TENPAK_RETURN_IF_ERROR(model.set_linear(from.name, dense_linear(from, m.dtype)));
        }
    }
    return {};
}

void fit(Sensitivity& s, const ProbePlan& plan) {
    const std::size_t count = s.units.size();
    std::vector<double> loss(count);
    const double total = plan.probes.front().measured.kl;
    if (plan.blocks == 0) {
        for (std::size_t u = 0; u < count; ++u) loss[u] = plan.probes[1 + u].measured.kl;
        const double sum = std::accumulate(loss.begin(), loss.end(), 0.0);
        if (sum > 0 && total > 0) {
            for (double& l : loss) l *= total / sum;
        }
    } else {
        std::vector<double> prior(count), kinds(plan.kinds), blocks(plan.blocks);
        for (std::size_t u = 0; u < count; ++u) prior[u] = s.errors[u][kProbedOption];
        for (std::size_t k = 0; k < plan.kinds; ++k) kinds[k] = plan.probes[1 + k].measured.kl;
        for (std::size_t b = 0; b < plan.blocks; ++b) blocks[b] = plan.probes[1 + plan.kinds + b].measured.kl;
        loss = fit_margins(prior, plan.kind, kinds, plan.block, blocks, total);
    }
    for (std::size_t u = 0; u < count; ++u) {
        const double base = s.errors[u][kProbedOption];
        for (std::size_t o = 0; o < s.options.size(); ++o) s.choices[u][o].loss = base > 0 ? loss[u] * s.errors[u][o] / base : 0.0;
    }
    s.probes = plan.probes;
    for (ProbeRecord& p : s.probes) {
        p.predicted = 0;
        for (const std::uint32_t u : p.units) p.predicted += s.choices[u][kProbedOption].loss;
    }
}

Status measure_probes(Measurement& m, std::span<const model::Token> text, const CalibrationWindows& windows, compute::Backend& backend) {
    bool fresh = false;
    auto tokens = probe_windows(text, windows, m.options.probe_tokens, &fresh);
    if (!fresh) m.note("sensitivity is probed on the calibration windows themselves: the text has no others");
    TENPAK_ASSIGN(const auto model, model::Transformer::load(m.source, {}, backend, {}, m.ctx));
    TENPAK_ASSIGN(WholeModelProbe probe, WholeModelProbe::start(*model, std::move(tokens), windows.length, m.ctx));
    ProbePlan plan = plan_probes(m.result, m.config.layers, m.options.max_probes);
    for (std::size_t i = 0; i < plan.probes.size(); ++i) {
        m.report("probe", i, plan.probes.size(), "passes", plan.probes[i].what);
        TENPAK_RETURN_IF_ERROR(run_probe(m, *model, probe, plan.probes[i]));
    }
    m.report("probe", plan.probes.size(), plan.probes.size(), "passes", {});
    fit(m.result, plan);
    return {};
}

}  // namespace

std::uint64_t Sensitivity::weights() const {
    std::uint64_t sum = 0;
    for (const MixedUnit& u : units) sum += u.weights;
    return sum;
}

std::uint64_t Sensitivity::budget(double bits) const { return static_cast<std::uint64_t>(std::floor(bits * static_cast<double>(weights()) / 8)); }

std::string kind_name(const MixedUnit& unit) {
    std::string s;
    for (const std::string& name : unit.names) s += (s.empty() ? "" : ", ") + last_part(name);
    return s;
}

std::vector<double> fit_margins(std::span<const double> prior, std::span<const std::uint32_t> kind, std::span<const double> kind_sums,
                                std::span<const std::uint32_t> block, std::span<const double> block_sums, double total) {
    std::vector<double> x(prior.begin(), prior.end());
    const auto scale_to = [&](std::span<const std::uint32_t> of, std::span<const double> wanted, double whole) {
        std::vector<double> sums(wanted.size());
        for (std::size_t u = 0; u < x.size(); ++u) sums[of[u]] += x[u];
        const double all = std::accumulate(wanted.begin(), wanted.end(), 0.0);
        for (std::size_t u = 0; u < x.size(); ++u) {
            const double to = all > 0 ? wanted[of[u]] * whole / all : 0;
            x[u] = sums[of[u]] > 0 ? x[u] * to / sums[of[u]] : 0;
        }
    };
    // The two sets of sums never agree exactly: both are brought to `total`. Converges in some ten rounds.
    for (int round = 0; round < 50; ++round) {
        scale_to(kind, kind_sums, total);
        scale_to(block, block_sums, total);
    }
    return x;
}

Result<Sensitivity> measure_sensitivity(std::shared_ptr<const ModelSource> source, std::span<const model::Token> calibration,
                                        const SensitivityOptions& options, compute::Backend& backend, const JobContext& ctx) {
    try {
        TENPAK_ASSIGN(const model::ModelConfig config, model::read_config(*source));
        ThreadPool pool(backend.threads());
        TENPAK_ASSIGN(const CalibrationWindows windows, cut_windows(calibration, options.calibration, config.max_positions));
        Measurement m{source, config, options, pool, ctx};
        if (const TensorInfo* t = source->find(model::layer_layout(config, 0).linears.front().name)) m.dtype = t->dtype;
        m.result.options = mixed_options();
        TENPAK_RETURN_IF_ERROR(measure_layers(m, windows, backend));
        TENPAK_RETURN_IF_ERROR(measure_probes(m, calibration, windows, backend));
        return std::move(m.result);
    } catch (const std::bad_alloc&) {
        return make_error(ErrorCode::kOutOfMemory, "out of memory while measuring sensitivity", {}, "Use fewer calibration sequences, or a machine with more memory");
    }
}

}  // namespace tenpak::quant

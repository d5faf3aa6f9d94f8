// SPDX-License-Identifier: Apache-2.0
// What each part of a model loses in each format: output errors measured layer by layer against the Gram matrix of the
// calibration inputs, brought to one scale (nats of KL divergence of the whole model) by a few whole-model probes.
// core/quant/mixed/README.md has the model behind it.
#pragma once
#include <memory>
#include <string>
#include <vector>

#include "core/quant/mixed/format_option.h"
#include "core/quant/mixed/knapsack.h"
#include "core/quant/mixed/whole_model_probe.h"
#include "core/quant/quantize.h"

namespace tenpak::quant {

/// Linears that get the same format: those with one input (q, k, v; gate, up), because vLLM and TGI fuse them at load.
struct MixedUnit {
    std::uint32_t layer = 0, kind = 0;  ///< kind: index into LayerLayout::groups()
    std::vector<std::string> names;     ///< tensors
    std::uint64_t weights = 0;
    std::uint32_t columns = 0;          ///< of all of them
};

struct ProbeRecord {
    std::string what;                 ///< "o of all layers", "layers 0-2", "every other one"
    std::vector<std::uint32_t> units; ///< at options[kProbedOption], the others as they are
    ProbeResult measured;
    double predicted = 0;             ///< KL by the fitted model
    bool fitted = false;              ///< false: held out, a check that losses add up
};

struct Sensitivity {
    std::vector<FormatOption> options;
    std::vector<MixedUnit> units;
    std::vector<std::vector<double>> errors;   ///< [unit][option]: mean over its linears of ||(W - W')x||^2 / ||Wx||^2, of 256 rows
    std::vector<std::vector<Choice>> choices;  ///< [unit][option]: bytes as stored; loss in nats
    std::vector<ProbeRecord> probes;
    std::vector<std::string> notes;
    std::uint64_t weights() const;             ///< of all units
    /// Bytes that `bits` a weight allow for all units.
    std::uint64_t budget(double bits) const;
};

struct SensitivityOptions {
    CalibrationOptions calibration;
    /// Whole-model passes over parts of the model; one for each unit where that is enough. Two more are of the whole and held out.
    std::uint32_t max_probes = 16;
    std::uint32_t probe_tokens = 2048; ///< of each pass, from the calibration text, where possible between its windows
};

/// Errors: those of quantize(). Memory: the model, one layer's Gram matrices, and every linear in options[kProbedOption].
Result<Sensitivity> measure_sensitivity(std::shared_ptr<const ModelSource> source, std::span<const model::Token> calibration,
                                        const SensitivityOptions& options, compute::Backend& backend, const JobContext& ctx);

/// Splits the loss of the whole over units from the losses of their kinds and of blocks of layers: x[u] = prior[u] * a[kind] *
/// b[block] with the given sums (iterative proportional fitting), then scaled to `total`.
std::vector<double> fit_margins(std::span<const double> prior, std::span<const std::uint32_t> kind, std::span<const double> kind_sums,
                                std::span<const std::uint32_t> block, std::span<const double> block_sums, double total);

/// "q, k, v", "o", "gate, up", "down" or, for other layouts, the last parts of the tensor names.
std::string kind_name(const MixedUnit& unit);

}  // namespace tenpak::quant

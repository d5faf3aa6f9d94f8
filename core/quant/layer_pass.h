// SPDX-License-Identifier: Apache-2.0
// One pass of the calibration text over the unquantized model, layer by layer, for everything that wants to know what goes
// into its linears: all methods of all candidates, and the search for mixed ones.
#pragma once
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "core/model/layout.h"
#include "core/quant/calibration.h"
#include "core/quant/gptq.h"
#include "core/quant/gram.h"
#include "core/quant/grid.h"
#include "core/quant/quantize.h"

namespace tenpak::quant {

/// A dense weight of the model as stored (fused ones in one): w[n][k] in fp32, checked to be finite.
struct DenseLinear {
    std::string name;
    std::uint32_t n = 0, k = 0;
    std::vector<float> w, bias;
};
Result<DenseLinear> read_linear(const ModelSource& source, const model::StoredLinear& stored);

/// What the calibration text shows of the input of linears that share it.
class LayerInput {
   public:
    LayerInput(std::string name, Gram gram) : name_(std::move(name)), gram_(std::move(gram)) {}
    const std::string& name() const { return name_; }  ///< of the first linear that has this input
    const Gram& gram() const { return gram_; }
    /// For GPTQ: made at the first call and kept for each group size and order, options.damp being the same for all.
    /// kNumeric when the Hessian cannot be inverted.
    Result<std::shared_ptr<const GptqFactor>> factor(std::uint32_t group, const GptqOptions& options, ThreadPool& pool, const JobContext& ctx);

   private:
    std::string name_;
    Gram gram_;
    std::map<std::pair<std::uint32_t, ColumnOrder>, std::shared_ptr<const GptqFactor>> factors_;
};

/// One decoder layer during the pass. Not thread-safe. Memory: its weights in fp32, 4 k^2 bytes an input and as much for each
/// factor of it.
struct CalibratedLayer {
    std::uint32_t index = 0;
    model::LayerLayout layout;
    std::vector<std::vector<std::size_t>> groups;  ///< layout.groups(): linears that share their input
    std::vector<DenseLinear> linears;              ///< as layout.linears
    std::vector<LayerInput> inputs;                ///< one a group; empty without calibration

    LayerInput* input_of(std::size_t linear);      ///< null without calibration
    /// ||(W - restored) x||^2 / ||W x||^2 over the calibration tokens (over W itself without); 0 where W x is 0 everywhere.
    Result<double> relative_error(std::size_t linear, std::span<const float> restored, ThreadPool& pool, const JobContext& ctx);
    /// The same of round-to-nearest on this grid: what a calibrated method has to beat.
    Result<double> nearest_error(std::size_t linear, const GroupFormat& format, ThreadPool& pool, const JobContext& ctx);

   private:
    std::map<std::size_t, double> power_;
    std::map<std::tuple<std::size_t, unsigned, std::uint32_t, bool>, double> nearest_;
};

/// ||W - W'||^2 / ||W||^2.
double relative_weight_error(std::span<const float> w, std::span<const float> restored);

struct LayerPass {
    bool calibrate = true;                           ///< false: only the weights are read, layer by layer
    std::function<bool(std::uint32_t layer)> wanted; ///< empty: all. The others only carry the text on
    std::function<void(std::uint32_t layer)> before; ///< may be empty: progress
    std::function<Status(CalibratedLayer&)> visit;
};
/// `windows` may be empty where nothing is calibrated. `pool` is used between the backend's own work.
Status visit_layers(std::shared_ptr<const ModelSource> source, const model::ModelConfig& config, const CalibrationWindows& windows,
                    compute::Backend& backend, ThreadPool& pool, const JobContext& ctx, const LayerPass& pass);

}  // namespace tenpak::quant

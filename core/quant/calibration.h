// SPDX-License-Identifier: Apache-2.0
// Runs the calibration text through a model, layer by layer, and collects what goes into its linear layers.
#pragma once
#include <map>
#include <span>
#include <string>
#include <vector>

#include "core/model/transformer.h"
#include "core/quant/gram.h"
#include "core/quant/quantize.h"

namespace tenpak::quant {

/// Fewer tokens than this say too little of a layer's inputs.
inline constexpr std::uint32_t kMinCalibrationTokens = 1024;

struct CalibrationWindows {
    std::vector<model::Token> tokens;  ///< windows one after the other
    std::uint32_t length = 0;          ///< of each window
    std::uint32_t count() const { return length == 0 ? 0 : static_cast<std::uint32_t>(tokens.size() / length); }
};
/// Cuts `text` into up to options.sequences windows of options.length tokens (at most `max_positions`), spread evenly over
/// the whole text. kInvalidArgument when it has fewer than kMinCalibrationTokens tokens or less than one window.
Result<CalibrationWindows> cut_windows(std::span<const model::Token> text, const CalibrationOptions& options,
                                       std::uint32_t max_positions);

/// The hidden states of all windows in front of one layer. Memory: 4 * tokens * hidden bytes, and one chunk's layer.
class CalibrationRun {
   public:
    static Result<CalibrationRun> start(model::Transformer& model, const CalibrationWindows& windows);

    /// Runs `layer` over all windows and returns the Gram matrix of the input of each weight in `observed`, in the order in
    /// which the layer uses them. With `advance` the hidden states move behind the layer; else they stay in front of it,
    /// and the layer is run only as far as the last of `observed`.
    Result<std::map<std::string, Gram>> run(std::uint32_t layer, std::span<const std::string> observed, bool advance,
                                            ThreadPool& pool, const JobContext& ctx);

   private:
    CalibrationRun(model::Transformer& model, std::uint32_t length) : model_(&model), length_(length) {}
    model::Transformer* model_;
    std::uint32_t length_;
    std::vector<float> hidden_;
};

}  // namespace tenpak::quant

// SPDX-License-Identifier: Apache-2.0
#include "core/quant/calibration.h"

#include <algorithm>

namespace tenpak::quant {
namespace {

// Tokens a call of run_layer gets: enough for efficient matrix products, few enough for cancelling and memory.
constexpr std::uint32_t kChunkTokens = 1024;

}  // namespace

Result<CalibrationWindows> cut_windows(std::span<const model::Token> text, const CalibrationOptions& options,
                                       std::uint32_t max_positions) {
    CalibrationWindows w;
    w.length = max_positions == 0 ? options.length : std::min(options.length, max_positions);
    if (w.length == 0 || options.sequences == 0) {
        return make_error(ErrorCode::kInvalidArgument, "calibration needs at least one window of one token", {},
                          "Raise the number or the length of calibration sequences");
    }
    const std::size_t needed = std::max<std::size_t>(kMinCalibrationTokens, w.length);
    if (text.size() < needed) {
        return make_error(ErrorCode::kInvalidArgument,
                          "the calibration text is too short: " + std::to_string(text.size()) + " tokens, at least " +
                              std::to_string(needed) + " are needed",
                          {}, "Give a longer text with --calibration; AWQ and GPTQ usually see " +
                                  std::to_string(std::uint64_t{options.sequences} * options.length) + " tokens");
    }
    const std::size_t count = std::min<std::size_t>(options.sequences, text.size() / w.length);
    w.tokens.reserve(count * w.length);
    for (std::size_t i = 0; i < count; ++i) {
        // Even steps from the first to the last possible window.
        const std::size_t begin = count == 1 ? 0 : (text.size() - w.length) * i / (count - 1);
        w.tokens.insert(w.tokens.end(), text.begin() + static_cast<std::ptrdiff_t>(begin),
                        text.begin() + static_cast<std::ptrdiff_t>(begin + w.length));
    }
    return w;
}

Result<CalibrationRun> CalibrationRun::start(model::Transformer& model, const CalibrationWindows& windows) {
    CalibrationRun run(model, windows.length);
    TENPAK_RETURN_IF_ERROR(model.embed(windows.tokens, windows.length, run.hidden_));
    return run;
}

Result<std::map<std::string, Gram>> CalibrationRun::run(std::uint32_t layer, std::span<const std::string> observed, bool advance,
                                                        ThreadPool& pool, const JobContext& ctx) {
    std::map<std::string, Gram> grams;
    const model::LinearObserver observer = [&](const std::string& name, const float* x, std::uint32_t tokens, std::uint32_t k) {
        if (std::find(observed.begin(), observed.end(), name) == observed.end()) return;
        grams.try_emplace(name, k).first->second.add(x, tokens, pool);
    };
    const std::string until = advance || observed.empty() ? std::string() : observed.back();
    const std::uint32_t dim = model_->config().hidden;
    const std::size_t windows = hidden_.size() / dim / length_;
    const std::size_t step = std::max<std::size_t>(1, kChunkTokens / length_);
    std::vector<float> chunk;
    for (std::size_t w = 0; w < windows; w += step) {
        TENPAK_RETURN_IF_ERROR(ctx.check());
        const std::size_t n = std::min(step, windows - w);
        const auto begin = hidden_.begin() + static_cast<std::ptrdiff_t>(w * length_ * dim);
        chunk.assign(begin, begin + static_cast<std::ptrdiff_t>(n * length_ * dim));
        TENPAK_RETURN_IF_ERROR(model_->run_layer(layer, chunk, length_, observer, until));
        if (advance) std::copy(chunk.begin(), chunk.end(), begin);
    }
    for (const std::string& name : observed) {
        const auto it = grams.find(name);
        if (it == grams.end()) return make_error(ErrorCode::kInternal, "the engine did not show the input of this layer", name);
        TENPAK_RETURN_IF_ERROR(it->second.finish(name));
    }
    return grams;
}

}  // namespace tenpak::quant

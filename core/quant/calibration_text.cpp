// SPDX-License-Identifier: Apache-2.0
#include "core/quant/calibration_text.h"

#include <algorithm>
#include <cstdio>
#include <vector>

namespace tenpak::quant {
namespace {

constexpr std::uint64_t kFactor = 0x9e3779b97f4a7c15u;  // odd: a rolling polynomial hash modulo 2^64

std::uint64_t step(std::uint64_t hash, model::Token token) { return hash * kFactor + static_cast<std::uint64_t>(token) + 1; }

}  // namespace

double shared_text(std::span<const model::Token> calibration, std::span<const model::Token> evaluation) {
    if (evaluation.empty() || calibration.empty()) return 0;
    const std::size_t window = std::min({kSharedWindow, calibration.size(), evaluation.size()});
    std::uint64_t leaving = 1;
    for (std::size_t i = 0; i < window; ++i) leaving *= kFactor;
    std::vector<std::uint64_t> wanted;
    for (std::size_t begin = 0; begin + window <= evaluation.size(); begin += window) {
        std::uint64_t h = 0;
        for (std::size_t i = 0; i < window; ++i) h = step(h, evaluation[begin + i]);
        wanted.push_back(h);
    }
    const std::vector<std::uint64_t> in_order = wanted;
    std::sort(wanted.begin(), wanted.end());
    std::vector<bool> found(wanted.size());
    std::uint64_t h = 0;
    for (std::size_t i = 0; i < calibration.size(); ++i) {
        h = step(h, calibration[i]);
        if (i >= window) h -= leaving * (static_cast<std::uint64_t>(calibration[i - window]) + 1);
        if (i + 1 < window) continue;
        const auto it = std::lower_bound(wanted.begin(), wanted.end(), h);
        if (it != wanted.end() && *it == h) found[static_cast<std::size_t>(it - wanted.begin())] = true;
    }
    std::size_t shared = 0;
    for (const std::uint64_t w : in_order) shared += found[static_cast<std::size_t>(std::lower_bound(wanted.begin(), wanted.end(), w) - wanted.begin())] ? 1u : 0u;
    return static_cast<double>(shared) / static_cast<double>(in_order.size());
}

Status refuse_same_text(std::span<const model::Token> calibration, std::span<const model::Token> evaluation) {
    const double shared = shared_text(calibration, evaluation);
    if (shared < kSharedLimit) return {};
    char percent[16];
    std::snprintf(percent, sizeof percent, "%.0f", shared * 100);
    return make_error(ErrorCode::kInvalidArgument, std::string("the calibration text holds ") + percent + " % of the evaluation text", {},
                      "Calibrate on another text, or on a part that is not evaluated: candidates would look better than they are");
}

TextSplit split_text(std::string_view text) {
    const std::size_t wanted = text.size() / 5 * 4;
    std::size_t cut = text.rfind('\n', wanted == 0 ? 0 : wanted - 1);
    // Not further back than a tenth of the text.
    if (cut == std::string_view::npos || cut < text.size() / 10 * 7) cut = text.rfind(' ', wanted == 0 ? 0 : wanted - 1);
    if (cut == std::string_view::npos || cut < text.size() / 10 * 7) {
        cut = wanted;
        while (cut > 0 && cut < text.size() && (static_cast<unsigned char>(text[cut]) & 0xc0u) == 0x80u) --cut;  // within a character
    } else {
        ++cut;
    }
    return {text.substr(0, cut), text.substr(cut)};
}

}  // namespace tenpak::quant

// SPDX-License-Identifier: Apache-2.0
#include "core/evaluate/windows.h"

#include <algorithm>

namespace tenpak::evaluate {
namespace {

constexpr std::uint32_t kDefaultContext = 2048, kDefaultHalfContext = 512, kDefaultStride = 512;

Error bad(std::string what, std::string hint = {}) { return make_error(ErrorCode::kInvalidArgument, std::move(what), {}, std::move(hint)); }

/// Every all/count-th one of `all`.
std::vector<Window> spread(const std::vector<Window>& all, std::uint32_t most) {
    if (most == 0 || most >= all.size()) return all;
    std::vector<Window> some;
    for (std::size_t i = 0; i < most; ++i) some.push_back(all[i * all.size() / most]);
    return some;
}

std::vector<Window> strided(std::size_t tokens, std::uint32_t context, std::uint32_t stride) {
    std::vector<Window> all;
    std::size_t scored = 1;  // the text's first token is predicted by nothing
    for (std::size_t begin = 0; scored < tokens; begin += stride) {
        const std::size_t end = std::min<std::size_t>(begin + context, tokens);
        all.push_back({begin, static_cast<std::uint32_t>(end - begin), static_cast<std::uint32_t>(scored - begin)});
        scored = end;
    }
    return all;
}

}  // namespace

const char* convention_name(Convention c) {
    switch (c) {
        case Convention::kWindows: return "windows";
        case Convention::kSecondHalf: return "second-half";
        case Convention::kStride: return "stride";
    }
    return "";
}

Result<Convention> find_convention(const std::string& name) {
    for (const Convention c : {Convention::kWindows, Convention::kSecondHalf, Convention::kStride}) {
        if (name == convention_name(c)) return c;
    }
    return bad("no convention \"" + name + "\"", "Known: windows (GPTQ), second-half (llama.cpp), stride (transformers' sliding window)");
}

std::uint64_t WindowPlan::scored() const {
    std::uint64_t n = 0;
    for (const Window& w : windows) n += w.scored();
    return n;
}

Result<WindowPlan> plan_windows(std::size_t tokens, std::uint32_t max_positions, const PerplexityOptions& options) {
    if (tokens == 0) return bad("the text has no tokens", "Give a text of at least a few hundred words");
    if (tokens < 2) return bad("the text is a single token: nothing can be predicted", "Give a text of at least a few hundred words");
    WindowPlan plan;
    const std::uint32_t usual = options.convention == Convention::kSecondHalf ? kDefaultHalfContext : kDefaultContext;
    std::uint32_t n = options.context != 0 ? options.context : std::min(usual, max_positions);
    if (n < 2) return bad("a window needs at least 2 tokens");
    if (n > max_positions) {
        return bad("a context of " + std::to_string(n) + " tokens is longer than the model's " + std::to_string(max_positions));
    }
    plan.context = n;
    if (options.convention == Convention::kStride) {
        const std::uint32_t stride = options.stride != 0 ? options.stride : std::min(kDefaultStride, std::max(1u, n / 2));
        if (stride >= n) return bad("a stride of " + std::to_string(stride) + " is not shorter than the context of " + std::to_string(n), "Overlapping windows need --stride below --context");
        plan.convention = "stride-" + std::to_string(stride) + "-of-" + std::to_string(n);
        plan.windows = spread(strided(tokens, n, stride), options.max_windows);
        return plan;
    }
    const bool half = options.convention == Convention::kSecondHalf;
    if (half && (tokens < 2 * std::size_t{n} || n < 4)) {
        return bad("the second-half convention needs at least two windows of " + std::to_string(std::max(n, 4u)) + " tokens, the text has " + std::to_string(tokens),
                   "Give a longer text or a smaller --context");
    }
    if (tokens < n) plan.context = n = static_cast<std::uint32_t>(tokens);
    plan.convention = std::string(half ? "second-half-" : "windows-") + std::to_string(n);
    if (half) plan.bos = options.bos;
    std::vector<Window> all(tokens / n);
    for (std::size_t i = 0; i < all.size(); ++i) all[i] = {i * n, n, half ? n / 2 + 1 : 1};
    plan.windows = spread(all, options.max_windows);
    return plan;
}

}  // namespace tenpak::evaluate

// SPDX-License-Identifier: Apache-2.0
// The windows of a text that a perplexity convention feeds and scores, to the token (reference optimizer.md section 2).
//
//   windows-N       GPTQ's and AWQ's: cut into windows of N, the remainder dropped; each is fed alone, N-1 tokens scored.
//   second-half-N   llama-perplexity's: the same windows; the first token is replaced by BOS where the model has one that
//                   its tokenizer adds, and only the targets N/2+1 .. N-1 are scored.
//   stride-S-of-N   transformers' sliding window: windows of N, S apart, over the whole text; each scores what the one
//                   before it has not (the first all of its predictions, the last one may be shorter).
#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "core/base/error.h"
#include "core/model/tokenizer.h"

namespace tenpak::evaluate {

enum class Convention : std::uint8_t { kWindows, kSecondHalf, kStride };
const char* convention_name(Convention c);  ///< "windows", "second-half", "stride"
Result<Convention> find_convention(const std::string& name);

struct PerplexityOptions {
    std::uint32_t context = 0;       ///< tokens a window; 0: min(2048, the model's own), second-half: 512
    std::uint32_t max_windows = 0;   ///< --eval-samples; 0: all. Taken evenly spread over the text
    Convention convention = Convention::kWindows;
    std::uint32_t stride = 0;        ///< kStride: 0 is min(512, context / 2)
    model::Token bos = -1;           ///< kSecondHalf: replaces a window's first token; -1: nothing does
};

/// Tokens [begin, begin + length) are fed, all but the last; targets begin + first .. begin + length - 1 are scored.
struct Window {
    std::size_t begin = 0;
    std::uint32_t length = 0, first = 1;
    std::uint32_t scored() const { return length - first; }
};
struct WindowPlan {
    std::vector<Window> windows;
    std::uint32_t context = 0;   ///< longest window
    std::string convention;      ///< as above, with its numbers
    model::Token bos = -1;
    std::uint64_t scored() const;
};
/// kInvalidArgument: no tokens, one token, a context outside 2..max_positions, a stride that is not in 1..context-1, fewer
/// than two windows of text for second-half. A text shorter than a window is one shorter window (not second-half).
Result<WindowPlan> plan_windows(std::size_t tokens, std::uint32_t max_positions, const PerplexityOptions& options);

}  // namespace tenpak::evaluate

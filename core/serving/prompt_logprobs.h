// SPDX-License-Identifier: Apache-2.0
// Reads what servers answer when they are asked for the log-probabilities of a prompt.
#pragma once
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "core/serving/completion_request.h"

namespace tenpak::serving {

/// Natural logarithms of the probabilities of a prompt's tokens, each given the ones before it.
struct PromptLogprobs {
    /// By token of the prompt as the server sees it; NaN for one that the server gives none for (the first).
    std::vector<double> logprobs;
    std::vector<std::string> tokens;  ///< as text, where the server sends that
    std::uint64_t usage_prompt_tokens = 0;  ///< the server's count of the prompt's tokens; 0: not sent
    std::string generated;            ///< text of the token that was generated besides
};

/// `body` answers logprobs_body(…, by) for `prompt`. kUnsupported: the server does not offer it (it answered as if nothing
/// had been asked). kMalformed: it is no such answer, or a value no log-probability. kMismatch: other tokens than asked.
/// With kPromptLogprobs and kEchoTokens there is one value a token of `prompt`, in its order.
Result<PromptLogprobs> read_prompt_logprobs(std::string_view body, const Prompt& prompt, LogprobsBy by, const std::string& where);

/// Whether the values belong to their tokens. llama-cpp-python gives those of the position after, where the prompt has no
/// BOS (its issue 1983): then the token generated besides is not in the list. kUnsupported says so. `plain`: the answer to
/// a prompt of ASCII text, for which text is comparable.
Status check_alignment(const PromptLogprobs& answer, const std::string& plain, const std::string& where);

}  // namespace tenpak::serving

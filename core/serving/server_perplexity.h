// SPDX-License-Identifier: Apache-2.0
// Perplexity of a model that a server runs, from the log-probabilities that it gives of prompts. Same conventions and
// names as core/evaluate; tokens are the local tokenizer's.
#pragma once
#include <memory>

#include "core/evaluate/perplexity.h"
#include "core/serving/prompt_logprobs.h"

namespace tenpak::serving {

struct ServerPerplexity : evaluate::PerplexityResult {
    LogprobsBy by = LogprobsBy::kPromptLogprobs;
    /// Of kEchoText, where the server tokenizes the windows' text by itself:
    std::uint32_t windows_retokenized = 0;  ///< that became other tokens than the local ones: all that it scored counts
    std::uint32_t trimmed_tokens = 0;       ///< left out at windows' ends, where a character would have been cut
    bool server_adds_bos = false;           ///< each window was fed behind a BOS
    std::string alignment() const;          ///< the above in words
};

/// Asks for it in the three ways of LogprobsBy and takes the first that the server offers; kUnsupported where it offers
/// none, kMismatch where the server's tokens are not the local tokenizer's and the convention needs that they are.
/// `concurrency` requests at once (many servers answer them one by one). One thread; a stop is heard within 20 ms.
Result<ServerPerplexity> server_perplexity(const Endpoint& endpoint, hub::HttpClient& client, const model::Tokenizer& tokenizer, std::span<const model::Token> text,
                                           const evaluate::WindowPlan& plan, std::uint32_t concurrency, const JobContext& ctx);

}  // namespace tenpak::serving

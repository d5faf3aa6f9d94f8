// SPDX-License-Identifier: Apache-2.0
// Perplexity of a model that a server runs, from the log-probabilities that it gives of prompts. Same conventions and
// names as core/evaluate; tokens are the local tokenizer's.
#pragma once
#include <memory>

#include "core/serving/prompt_logprobs.h"

namespace tenpak::serving {

/// Tokens [begin, begin + length) are a prompt; targets begin + first .. begin + length - 1 are scored.
struct ScoredWindow {
    std::size_t begin = 0;
    std::uint32_t length = 0, first = 1;
};
struct ServerPerplexityOptions {
    std::vector<ScoredWindow> windows;
    std::string convention;         ///< name of how they were cut
    std::uint32_t concurrency = 4;  ///< requests at once; many servers answer them one by one
};
/// "windows-N" of evaluate/perplexity.h: windows of `context` tokens, the remainder dropped, `max_windows` (0: all) of them
/// evenly spread; a shorter text is one shorter window.
Result<ServerPerplexityOptions> whole_windows(std::size_t tokens, std::uint32_t context, std::uint32_t max_windows);

struct ServerPerplexity {
    double perplexity = 0;      ///< exp(nll)
    double nll = 0;             ///< mean negative log-likelihood per scored token, nats
    double standard_error = 0;  ///< of the perplexity, from the spread over windows
    std::uint64_t tokens = 0;   ///< scored
    std::uint32_t windows = 0, context = 0;
    std::string convention;
    std::vector<double> window_nll;
    double seconds = 0;
    LogprobsBy by = LogprobsBy::kPromptLogprobs;
    /// Of kEchoText, where the server tokenizes the windows' text by itself:
    std::uint32_t windows_retokenized = 0;  ///< that became other tokens than the local ones: all that it scored counts
    std::uint32_t trimmed_tokens = 0;       ///< left out at windows' ends, where a character would have been cut
    bool server_adds_bos = false;           ///< each window was fed behind a BOS
    std::string alignment() const;          ///< the above in words
};

/// Asks for it in the three ways of LogprobsBy and takes the first that the server offers; kUnsupported where it offers
/// none, kMismatch where the server's tokens are not the local tokenizer's and the convention needs that they are.
/// One thread; a stop is heard within 20 ms.
Result<ServerPerplexity> server_perplexity(const Endpoint& endpoint, hub::HttpClient& client, const model::Tokenizer& tokenizer, std::span<const model::Token> text,
                                           const ServerPerplexityOptions& options, const JobContext& ctx);

}  // namespace tenpak::serving

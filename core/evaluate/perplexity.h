// SPDX-License-Identifier: Apache-2.0
// Perplexity on a text by a named convention, and paired comparison of two models on the same tokens.
#pragma once
#include <optional>
#include <string>
#include <vector>

#include "core/base/job_context.h"
#include "core/model/transformer.h"

namespace tenpak::evaluate {

struct PerplexityOptions {
    std::uint32_t context = 0;       ///< tokens a window; 0: min(2048, the model's own)
    std::uint32_t max_windows = 0;   ///< --eval-samples; 0: all. Taken evenly spread over the text
};
/// Convention "windows": the text is tokenized once, cut into windows of `context` tokens, the remainder dropped; each
/// window is fed alone and its context-1 shifted predictions are scored (GPTQ's convention, reference optimizer.md 2.1).
struct PerplexityResult {
    double perplexity = 0;       ///< exp(nll)
    double nll = 0;              ///< mean negative log-likelihood per scored token, nats
    double standard_error = 0;   ///< of the perplexity, from the spread over windows
    std::uint64_t tokens = 0;    ///< scored
    std::uint32_t windows = 0, context = 0;
    std::string convention;      ///< "windows-256"
    std::vector<double> window_nll;  ///< mean nll of each window: pairs with another model's
    double seconds = 0;
};
/// kInvalidArgument: the text has no tokens, or fewer than 2; a text shorter than a window is one shorter window.
Result<PerplexityResult> perplexity(model::Transformer& model, std::span<const model::Token> text, const PerplexityOptions& options,
                                    const JobContext& ctx);

/// Percent by which `candidate` is above `reference`, with the 95 % interval of the paired difference over windows.
struct PairedDelta {
    double percent = 0, low = 0, high = 0;
};
/// How near a model's predictions are to another one's on the same windows.
struct Agreement {
    double kl_divergence = 0;   ///< mean over scored tokens of sum p_ref (ln p_ref - ln p), nats
    double top1_agreement = 0;  ///< fraction of tokens where both find the same token likeliest
};
struct Comparison {
    PerplexityResult candidate, reference;
    Agreement agreement;
    PairedDelta delta;
};
/// Both models in turn over the same windows; both must have the same vocabulary (kMismatch).
Result<Comparison> compare(model::Transformer& candidate, model::Transformer& reference, std::span<const model::Token> text,
                           const PerplexityOptions& options, const JobContext& ctx);

Result<PairedDelta> paired_delta(const PerplexityResult& candidate, const PerplexityResult& reference);

}  // namespace tenpak::evaluate

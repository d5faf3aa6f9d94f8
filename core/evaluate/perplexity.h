// SPDX-License-Identifier: Apache-2.0
// Perplexity on a text by a named convention (windows.h), and paired comparison of two models on the same tokens.
#pragma once
#include <optional>
#include <string>
#include <vector>

#include "core/base/job_context.h"
#include "core/evaluate/reference_log.h"
#include "core/evaluate/windows.h"
#include "core/model/transformer.h"

namespace tenpak::evaluate {

struct PerplexityResult {
    double perplexity = 0;       ///< exp(nll)
    double nll = 0;              ///< mean negative log-likelihood per scored token, nats
    double standard_error = 0;   ///< of the perplexity, from the spread over windows
    std::uint64_t tokens = 0;    ///< scored
    std::uint32_t windows = 0, context = 0;
    std::string convention;      ///< "windows-256", "second-half-512", "stride-512-of-2048"
    std::vector<double> window_nll;  ///< mean nll of each window: pairs with another model's
    double seconds = 0;
};
/// Errors: those of plan_windows(), kNumeric (logits that are not finite), kOutOfMemory, kCancelled.
Result<PerplexityResult> perplexity(model::Transformer& model, std::span<const model::Token> text, const PerplexityOptions& options,
                                    const JobContext& ctx);

/// Percent by which `candidate` is above `reference`, with the 95 % interval of the paired difference over windows.
struct PairedDelta {
    double percent = 0, low = 0, high = 0;
};
/// How near a model's predictions are to another one's on the same windows.
struct Agreement {
    double kl_divergence = 0;   ///< mean over scored tokens of sum p_ref (ln p_ref - ln p), nats
    double kl_standard_error = 0;  ///< of that mean, from the spread over windows
    double top1_agreement = 0;  ///< fraction of tokens where both find the same token likeliest
    std::uint32_t top_k = 0;    ///< tokens the divergence is exact over, the rest estimated (reference_log.h); 0: all
};
struct Comparison {
    PerplexityResult candidate, reference;
    Agreement agreement;
    PairedDelta delta;
};
/// Both models in turn over the same windows; both must have the same vocabulary (kMismatch).
Result<Comparison> compare(model::Transformer& candidate, model::Transformer& reference, std::span<const model::Token> text,
                           const PerplexityOptions& options, const JobContext& ctx);
/// The same against a reference that was kept: kMismatch when it is of another text, vocabulary or convention.
Result<Comparison> compare(model::Transformer& candidate, ReferenceReader& reference, std::span<const model::Token> text,
                           const PerplexityOptions& options, const JobContext& ctx);
/// perplexity(), and what the model predicted is kept in `path` for others to be compared with. `name` goes into it.
Result<PerplexityResult> perplexity_and_keep(model::Transformer& model, std::span<const model::Token> text, const PerplexityOptions& options,
                                             const fs::path& path, const std::string& name, const JobContext& ctx);

Result<PairedDelta> paired_delta(const PerplexityResult& candidate, const PerplexityResult& reference);

}  // namespace tenpak::evaluate

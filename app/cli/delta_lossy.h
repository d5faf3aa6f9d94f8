// SPDX-License-Identifier: Apache-2.0
// What a lossy delta has to say of itself: errors, choices per tensor, and the change of perplexity.
#pragma once
#include <string>

#include "app/cli/command.h"
#include "core/delta/compress.h"
#include "core/evaluate/perplexity.h"

namespace tenpak::cli {

struct PerplexityChange {
    std::string why_not;  ///< empty: it was measured
    evaluate::PerplexityResult fine_tune, rebuilt;
    evaluate::PairedDelta change;
    std::string text;     ///< the file
};
struct PerplexityRequest {
    std::string base, fine_tune, artifact, text;
    unsigned context = 0, samples = 0, threads = 0;
};
/// Both models in turn on the same tokens. What the engine cannot run is an answer (why_not), and so is a text that is too
/// short; cancelling is an error.
Result<PerplexityChange> measure_perplexity_change(const Context& ctx, const PerplexityRequest& request);

OrderedJson to_json(const PerplexityChange& p);
/// Errors of the whole, choices of each tensor; keys of `tenpak delta compress`.
/// `json` has "tensors", one for each of the report.
void add_lossy_json(OrderedJson& json, const delta::CompressReport& report, const delta::LossyOptions& options);
/// Lines for people: what was lost, how the tensors are stored, the perplexity.
std::string lossy_text(const delta::CompressReport& report, const delta::LossyOptions& options, const PerplexityChange& p);

}  // namespace tenpak::cli

// SPDX-License-Identifier: GPL-3.0-or-later
#include "app/perplexity_change.h"

#include "core/artifact/artifact.h"
#include "core/compute/cpu/cpu_backend.h"
#include "core/evaluate/perplexity.h"
#include "core/model/tokenizer.h"

namespace tenpak::app {
namespace {

Result<evaluate::PerplexityResult> perplexity_of(const fs::path& model, const fs::path& base, const PerplexityRequest& r, const JobContext& ctx) {
    TENPAK_ASSIGN(const auto source, open_model(model, base));
    TENPAK_ASSIGN(const std::string text, read_text_file(r.text, 1u << 30));
    TENPAK_ASSIGN(const auto tokenizer, model::load_tokenizer(*source));
    TENPAK_ASSIGN(const auto tokens, tokenizer->encode(text, true));
    const auto backend = compute::make_cpu_backend();
    TENPAK_ASSIGN(const auto transformer, model::Transformer::load(source, {}, *backend, {}, ctx));
    return evaluate::perplexity(*transformer, tokens, {0, r.samples}, ctx);
}

}  // namespace

Result<PerplexityChange> measure_perplexity_change(const PerplexityRequest& request, const JobContext& ctx) {
    PerplexityChange change;
    const auto fine_tune = perplexity_of(request.fine_tune, {}, request, ctx);
    if (!fine_tune.ok()) {
        if (fine_tune.error().code == ErrorCode::kCancelled) return fine_tune.error();
        change.why_not = fine_tune.error().what;
        return change;
    }
    const auto rebuilt = perplexity_of(request.artifact, request.base, request, ctx);
    if (!rebuilt.ok()) {
        if (rebuilt.error().code == ErrorCode::kCancelled) return rebuilt.error();
        change.why_not = rebuilt.error().what;
        return change;
    }
    TENPAK_ASSIGN(const evaluate::PairedDelta delta, evaluate::paired_delta(*rebuilt, *fine_tune));
    change.fine_tune = fine_tune->perplexity;
    change.rebuilt = rebuilt->perplexity;
    change.percent = delta.percent;
    change.low = delta.low;
    change.high = delta.high;
    change.tokens = rebuilt->tokens;
    return change;
}

}  // namespace tenpak::app

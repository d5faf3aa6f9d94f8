// SPDX-License-Identifier: Apache-2.0
#include "core/jobs/pairing.h"

#include <cmath>

#include "core/evaluate/perplexity.h"

namespace tenpak::jobs {
namespace {

evaluate::PerplexityResult windows_of(const std::vector<double>& nll, const optimizer::Metrics& m) {
    evaluate::PerplexityResult r;
    r.window_nll = nll;
    for (const double v : nll) r.nll += v / static_cast<double>(nll.size());
    r.perplexity = std::exp(r.nll);
    r.tokens = m.eval_tokens;
    r.windows = static_cast<std::uint32_t>(nll.size());
    r.context = m.eval_context;
    r.convention = m.convention;
    return r;
}

}  // namespace

void pair_with_baseline(optimizer::Trial& trial, const std::vector<double>& baseline_nll) {
    optimizer::Metrics& m = trial.metrics;
    if (trial.candidate == "fp16") {
        m.ppl_delta = m.ppl_delta_low = m.ppl_delta_high = 0;
        return;
    }
    if (!std::isnan(m.ppl_delta) || m.window_nll.empty() || baseline_nll.empty()) return;
    const auto delta = evaluate::paired_delta(windows_of(m.window_nll, m), windows_of(baseline_nll, m));
    if (!delta.ok()) {
        m.notes.push_back("perplexity change not known: " + delta.error().text());
        return;
    }
    m.ppl_delta = delta->percent;
    m.ppl_delta_low = delta->low;
    m.ppl_delta_high = delta->high;
}

}  // namespace tenpak::jobs

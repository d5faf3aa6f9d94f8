// SPDX-License-Identifier: Apache-2.0
#include "core/quant/mixed/whole_model_probe.h"

#include <algorithm>
#include <cmath>

#include "core/compute/softmax.h"

namespace tenpak::quant {
namespace {

constexpr std::size_t kLogitValues = 2u << 20;  // of each model at a time: 8 MiB

}  // namespace

Result<WholeModelProbe> WholeModelProbe::start(model::Transformer& model, std::vector<model::Token> tokens, std::uint32_t length, const JobContext& ctx) {
    WholeModelProbe probe(model, std::move(tokens), length);
    TENPAK_RETURN_IF_ERROR(ctx.check());
    TENPAK_RETURN_IF_ERROR(probe.run(probe.hidden_));
    return probe;
}

Status WholeModelProbe::run(std::vector<float>& hidden) {
    std::vector<std::span<const model::Token>> windows;
    for (std::size_t at = 0; at < tokens_.size(); at += length_) windows.push_back(std::span(tokens_).subspan(at, length_));
    return model_->window_states(windows, hidden);
}

Result<ProbeResult> WholeModelProbe::measure(ThreadPool& pool, const JobContext& ctx) {
    std::vector<float> hidden, before, after;
    TENPAK_RETURN_IF_ERROR(run(hidden));
    const std::size_t dim = model_->config().hidden, vocab = model_->config().vocab;
    const std::size_t step = std::max<std::size_t>(1, kLogitValues / vocab);
    std::vector<double> kl(tokens_.size()), nll(tokens_.size());
    for (std::size_t at = 0; at < tokens_.size(); at += step) {
        TENPAK_RETURN_IF_ERROR(ctx.check());
        const std::size_t count = std::min(step, tokens_.size() - at);
        TENPAK_RETURN_IF_ERROR(model_->head(std::span(hidden_).subspan(at * dim, count * dim), before));
        TENPAK_RETURN_IF_ERROR(model_->head(std::span(hidden).subspan(at * dim, count * dim), after));
        pool.parallel_for(count, [&](std::size_t r, unsigned) {
            const float *p = before.data() + r * vocab, *q = after.data() + r * vocab;
            const double p_total = compute::log_sum_exp(p, vocab), q_total = compute::log_sum_exp(q, vocab);
            kl[at + r] = compute::kl_divergence(p, p_total, q, q_total, vocab);
            if ((at + r + 1) % length_ == 0) return;  // a window's last token has no successor
            const auto target = static_cast<std::size_t>(tokens_[at + r + 1]);
            nll[at + r] = (q_total - static_cast<double>(q[target])) - (p_total - static_cast<double>(p[target]));
        });
    }
    ProbeResult result;
    for (std::size_t i = 0; i < tokens_.size(); ++i) {
        result.kl += kl[i];
        result.nll += nll[i];
    }
    const auto n = static_cast<double>(tokens_.size());
    result.kl = std::max(0.0, result.kl / n);
    result.nll /= n * (length_ - 1) / length_;
    if (!std::isfinite(result.kl)) return make_error(ErrorCode::kNumeric, "a quantized model's predictions are not finite");
    return result;
}

}  // namespace tenpak::quant

// SPDX-License-Identifier: Apache-2.0
#include "core/evaluate/perplexity.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <new>
#include <optional>

#include "core/evaluate/statistics.h"

namespace tenpak::evaluate {
namespace {

constexpr std::uint32_t kDefaultContext = 2048;
// Tokens of one forward pass: enough for full matrix tiles, few enough to hear "stop" between layers.
constexpr std::size_t kBatchTokens = 1024;
// Logits are computed for so many values at a time (16 MiB).
constexpr std::size_t kLogitValues = 4u << 20;

/// ln of the sum of e^logit, in double.
double log_total(std::span<const float> logits) {
    float top = logits[0];
    for (const float l : logits) top = std::max(top, l);
    double total = 0;
    for (const float l : logits) total += static_cast<double>(std::exp(l - top));
    return std::log(total) + static_cast<double>(top);
}

struct Windows {
    std::uint32_t length = 0;
    std::vector<std::size_t> begins;
};

Result<Windows> cut(const model::ModelConfig& config, std::size_t tokens, const PerplexityOptions& options) {
    if (tokens == 0) return make_error(ErrorCode::kInvalidArgument, "the text has no tokens", {}, "Give a text of at least a few hundred words");
    if (tokens < 2) return make_error(ErrorCode::kInvalidArgument, "the text is a single token: nothing can be predicted", {}, "Give a text of at least a few hundred words");
    Windows w;
    w.length = options.context != 0 ? options.context : std::min(kDefaultContext, config.max_positions);
    if (w.length < 2) return make_error(ErrorCode::kInvalidArgument, "a window needs at least 2 tokens");
    if (w.length > config.max_positions) {
        return make_error(ErrorCode::kInvalidArgument, "a context of " + std::to_string(w.length) + " tokens is longer than the model's " + std::to_string(config.max_positions));
    }
    if (tokens < w.length) {
        w.length = static_cast<std::uint32_t>(tokens);
        w.begins = {0};
        return w;
    }
    const std::size_t all = tokens / w.length;
    const std::size_t count = options.max_windows == 0 ? all : std::min<std::size_t>(all, options.max_windows);
    for (std::size_t i = 0; i < count; ++i) w.begins.push_back(i * all / count * w.length);
    return w;
}

/// Runs a batch of windows and hands out its logits block by block.
class WindowRunner {
   public:
    WindowRunner(model::Transformer& model, std::span<const model::Token> text, std::uint32_t length)
        : model_(model), text_(text), length_(length), batch_(static_cast<std::uint32_t>(std::max<std::size_t>(1, kBatchTokens / length))),
          cache_(model.config(), model.backend(), batch_, length) {}

    std::size_t batch() const { return batch_; }
    std::size_t vocabulary() const { return model_.config().vocab; }
    std::size_t block_rows() const { return std::max<std::size_t>(1, kLogitValues / vocabulary()); }

    Status start(std::span<const std::size_t> begins) {
        cache_.clear();
        std::vector<model::SequenceChunk> chunks;
        // The last token of a window is only a target: nothing is predicted from it.
        for (std::uint32_t s = 0; s < begins.size(); ++s) chunks.push_back({s, text_.subspan(begins[s], length_ - 1)});
        return model_.hidden_states(chunks, cache_, hidden_);
    }
    /// Logits of the scored positions [at, at + count) of the batch.
    Result<std::span<const float>> logits(std::size_t at, std::size_t count) {
        const std::size_t dim = model_.config().hidden;
        TENPAK_RETURN_IF_ERROR(model_.head(std::span(hidden_).subspan(at * dim, count * dim), logits_));
        return std::span<const float>(logits_);
    }

   private:
    model::Transformer& model_;
    std::span<const model::Token> text_;
    std::uint32_t length_, batch_;
    model::KvCache cache_;
    std::vector<float> hidden_, logits_;
};

/// Sums over windows and tokens of one model's likelihoods, and of its agreement with a reference if there is one.
class Scorer {
   public:
    Scorer(std::span<const model::Token> text, std::uint32_t length) : text_(text), length_(length) {}

    Status score(std::span<const std::size_t> begins, WindowRunner& candidate, WindowRunner* reference) {
        TENPAK_RETURN_IF_ERROR(candidate.start(begins));
        if (reference != nullptr) TENPAK_RETURN_IF_ERROR(reference->start(begins));
        const std::size_t scored = length_ - 1, rows = begins.size() * scored, step = candidate.block_rows(), vocab = candidate.vocabulary();
        std::vector<double> sums(begins.size(), 0.0), reference_sums(begins.size(), 0.0);
        for (std::size_t at = 0; at < rows; at += step) {
            const std::size_t count = std::min(step, rows - at);
            TENPAK_ASSIGN(const auto logits, candidate.logits(at, count));
            std::span<const float> other;
            if (reference != nullptr) {
                TENPAK_ASSIGN(other, reference->logits(at, count));
            }
            for (std::size_t r = 0; r < count; ++r) {
                const std::size_t window = (at + r) / scored, position = (at + r) % scored;
                const auto target = static_cast<std::size_t>(text_[begins[window] + position + 1]);
                if (target >= vocab) return make_error(ErrorCode::kInvalidArgument, "token " + std::to_string(target) + " is outside the model's vocabulary");
                const auto row = logits.subspan(r * vocab, vocab);
                const double total = log_total(row);
                sums[window] += total - static_cast<double>(row[target]);
                if (reference == nullptr) continue;
                const auto ref = other.subspan(r * vocab, vocab);
                const double ref_total = log_total(ref);
                reference_sums[window] += ref_total - static_cast<double>(ref[target]);
                add_agreement(row, total, ref, ref_total);
            }
        }
        for (const double s : sums) means_.push_back(s / static_cast<double>(scored));
        for (const double s : reference_sums) reference_means_.push_back(s / static_cast<double>(scored));
        return {};
    }

    PerplexityResult result(bool of_reference) const {
        PerplexityResult r;
        r.context = length_;
        r.convention = "windows-" + std::to_string(length_);
        r.window_nll = of_reference ? reference_means_ : means_;
        r.windows = static_cast<std::uint32_t>(r.window_nll.size());
        r.tokens = std::uint64_t{r.windows} * (length_ - 1);
        const MeanError mean = mean_and_error(r.window_nll);
        r.nll = mean.mean;
        r.perplexity = std::exp(r.nll);
        r.standard_error = r.perplexity * mean.standard_error;  // delta method
        return r;
    }
    Agreement agreement() const {
        const auto n = static_cast<double>(rows_);
        return rows_ == 0 ? Agreement{} : Agreement{divergence_ / n, static_cast<double>(same_top_) / n};
    }

   private:
    void add_agreement(std::span<const float> row, double total, std::span<const float> ref, double ref_total) {
        double kl = 0;
        std::size_t top = 0, ref_top = 0;
        for (std::size_t v = 0; v < row.size(); ++v) {
            const double lp_ref = static_cast<double>(ref[v]) - ref_total, lp = static_cast<double>(row[v]) - total;
            kl += static_cast<double>(std::exp(static_cast<float>(lp_ref))) * (lp_ref - lp);
            top = row[v] > row[top] ? v : top;
            ref_top = ref[v] > ref[ref_top] ? v : ref_top;
        }
        divergence_ += kl;
        same_top_ += top == ref_top ? 1 : 0;
        ++rows_;
    }

    std::span<const model::Token> text_;
    std::uint32_t length_;
    std::vector<double> means_, reference_means_;
    double divergence_ = 0;
    std::uint64_t same_top_ = 0, rows_ = 0;
};

Result<Comparison> run(model::Transformer& model, model::Transformer* reference, std::span<const model::Token> text, const PerplexityOptions& options, const JobContext& ctx) {
    const auto start = std::chrono::steady_clock::now();
    try {
        PerplexityOptions both = options;
        if (reference != nullptr) {
            if (reference->config().vocab != model.config().vocab) {
                return make_error(ErrorCode::kMismatch, "a vocabulary of " + std::to_string(model.config().vocab) + " cannot be compared with the reference's " + std::to_string(reference->config().vocab));
            }
            if (both.context == 0) both.context = std::min({kDefaultContext, model.config().max_positions, reference->config().max_positions});
            const auto fits = cut(reference->config(), text.size(), both);
            if (!fits.ok()) return fits.error();
            reference->set_stop(ctx.stop);
        }
        TENPAK_ASSIGN(const Windows windows, cut(model.config(), text.size(), both));
        model.set_stop(ctx.stop);
        WindowRunner runner(model, text, windows.length);
        std::optional<WindowRunner> other;
        if (reference != nullptr) other.emplace(*reference, text, windows.length);
        Scorer scorer(text, windows.length);
        for (std::size_t at = 0; at < windows.begins.size(); at += runner.batch()) {
            TENPAK_RETURN_IF_ERROR(ctx.check());
            ctx.report({"perplexity", at, windows.begins.size(), "windows", {}});
            const std::size_t count = std::min(runner.batch(), windows.begins.size() - at);
            TENPAK_RETURN_IF_ERROR(scorer.score(std::span(windows.begins).subspan(at, count), runner, other ? &*other : nullptr));
        }
        ctx.report({"perplexity", windows.begins.size(), windows.begins.size(), "windows", {}});
        Comparison c{scorer.result(false), scorer.result(true), scorer.agreement(), {}};
        c.candidate.seconds = c.reference.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
        if (!std::isfinite(c.candidate.perplexity)) return make_error(ErrorCode::kNumeric, "the perplexity is not a finite number");
        return c;
    } catch (const std::bad_alloc&) {
        return make_error(ErrorCode::kOutOfMemory, "not enough memory to measure perplexity", {}, "Use a smaller context");
    }
}

}  // namespace

Result<PerplexityResult> perplexity(model::Transformer& model, std::span<const model::Token> text, const PerplexityOptions& options, const JobContext& ctx) {
    TENPAK_ASSIGN(Comparison c, run(model, nullptr, text, options, ctx));
    return std::move(c.candidate);
}

Result<Comparison> compare(model::Transformer& candidate, model::Transformer& reference, std::span<const model::Token> text, const PerplexityOptions& options,
                           const JobContext& ctx) {
    TENPAK_ASSIGN(Comparison c, run(candidate, &reference, text, options, ctx));
    TENPAK_ASSIGN(c.delta, paired_delta(c.candidate, c.reference));
    return c;
}

Result<PairedDelta> paired_delta(const PerplexityResult& candidate, const PerplexityResult& reference) {
    if (candidate.window_nll.size() != reference.window_nll.size() || candidate.context != reference.context) {
        return make_error(ErrorCode::kMismatch, "two perplexities over different windows cannot be compared");
    }
    if (candidate.window_nll.empty()) return make_error(ErrorCode::kInvalidArgument, "no windows to compare");
    std::vector<double> difference;
    for (std::size_t i = 0; i < candidate.window_nll.size(); ++i) difference.push_back(candidate.window_nll[i] - reference.window_nll[i]);
    const MeanError m = mean_and_error(difference);
    const auto percent = [](double nll) { return 100 * std::expm1(nll); };
    const double half = difference.size() < 2 ? 0 : student_t_975(difference.size() - 1) * m.standard_error;
    return PairedDelta{percent(m.mean), percent(m.mean - half), percent(m.mean + half)};
}

}  // namespace tenpak::evaluate

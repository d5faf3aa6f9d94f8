// SPDX-License-Identifier: Apache-2.0
#include "core/evaluate/perplexity.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <new>

#include "core/evaluate/statistics.h"

namespace tenpak::evaluate {
namespace {

constexpr std::uint32_t kDefaultContext = 2048;
// Tokens of one forward pass: enough for full matrix tiles, few enough to hear "stop" between layers.
constexpr std::size_t kBatchTokens = 1024;
// Logits are computed for so many values at a time (16 MiB).
constexpr std::size_t kLogitValues = 4u << 20;

/// -log softmax(logits)[target], in double.
double negative_log_likelihood(std::span<const float> logits, std::size_t target) {
    float top = logits[0];
    for (const float l : logits) top = std::max(top, l);
    double total = 0;
    for (const float l : logits) total += static_cast<double>(std::exp(l - top));
    return std::log(total) + static_cast<double>(top) - static_cast<double>(logits[target]);
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

class WindowScorer {
   public:
    WindowScorer(model::Transformer& model, std::span<const model::Token> text, std::uint32_t length)
        : model_(model), text_(text), length_(length), batch_(static_cast<std::uint32_t>(std::max<std::size_t>(1, kBatchTokens / length))),
          cache_(model.config(), batch_, length) {}

    std::size_t batch() const { return batch_; }

    /// Mean NLL of each of the windows, at most batch() of them, appended.
    Status score(std::span<const std::size_t> begins, std::vector<double>& means) {
        cache_.clear();
        std::vector<model::SequenceChunk> chunks;
        // The last token of a window is only a target: nothing is predicted from it.
        for (std::uint32_t s = 0; s < begins.size(); ++s) chunks.push_back({s, text_.subspan(begins[s], length_ - 1)});
        TENPAK_RETURN_IF_ERROR(model_.hidden_states(chunks, cache_, hidden_));
        const std::size_t dim = model_.config().hidden, vocab = model_.config().vocab, scored = length_ - 1;
        const std::size_t rows = begins.size() * scored, step = std::max<std::size_t>(1, kLogitValues / vocab);
        std::vector<double> sums(begins.size(), 0.0);
        for (std::size_t at = 0; at < rows; at += step) {
            const std::size_t count = std::min(step, rows - at);
            TENPAK_RETURN_IF_ERROR(model_.head(std::span(hidden_).subspan(at * dim, count * dim), logits_));
            for (std::size_t r = 0; r < count; ++r) {
                const std::size_t window = (at + r) / scored, position = (at + r) % scored;
                const auto target = static_cast<std::size_t>(text_[begins[window] + position + 1]);
                if (target >= vocab) return make_error(ErrorCode::kInvalidArgument, "token " + std::to_string(target) + " is outside the model's vocabulary");
                sums[window] += negative_log_likelihood(std::span(logits_).subspan(r * vocab, vocab), target);
            }
        }
        for (const double s : sums) means.push_back(s / static_cast<double>(scored));
        return {};
    }

   private:
    model::Transformer& model_;
    std::span<const model::Token> text_;
    std::uint32_t length_, batch_;
    model::KvCache cache_;
    std::vector<float> hidden_, logits_;
};

}  // namespace

Result<PerplexityResult> perplexity(model::Transformer& model, std::span<const model::Token> text, const PerplexityOptions& options, const JobContext& ctx) {
    const auto start = std::chrono::steady_clock::now();
    try {
        TENPAK_ASSIGN(const Windows windows, cut(model.config(), text.size(), options));
        model.set_stop(ctx.stop);
        WindowScorer scorer(model, text, windows.length);
        PerplexityResult r;
        r.context = windows.length;
        r.convention = "windows-" + std::to_string(windows.length);
        for (std::size_t at = 0; at < windows.begins.size(); at += scorer.batch()) {
            TENPAK_RETURN_IF_ERROR(ctx.check());
            ctx.report({"perplexity", at, windows.begins.size(), "windows", {}});
            const std::size_t count = std::min(scorer.batch(), windows.begins.size() - at);
            TENPAK_RETURN_IF_ERROR(scorer.score(std::span(windows.begins).subspan(at, count), r.window_nll));
        }
        ctx.report({"perplexity", windows.begins.size(), windows.begins.size(), "windows", {}});
        r.windows = static_cast<std::uint32_t>(r.window_nll.size());
        r.tokens = std::uint64_t{r.windows} * (windows.length - 1);
        const MeanError mean = mean_and_error(r.window_nll);
        r.nll = mean.mean;
        r.perplexity = std::exp(r.nll);
        r.standard_error = r.perplexity * mean.standard_error;  // delta method
        r.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
        if (!std::isfinite(r.perplexity)) return make_error(ErrorCode::kNumeric, "the perplexity is not a finite number");
        return r;
    } catch (const std::bad_alloc&) {
        return make_error(ErrorCode::kOutOfMemory, "not enough memory to measure perplexity", {}, "Use a smaller context");
    }
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

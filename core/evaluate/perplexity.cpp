// SPDX-License-Identifier: Apache-2.0
#include "core/evaluate/perplexity.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <new>
#include <optional>

#include "core/base/thread_pool.h"
#include "core/evaluate/softmax.h"
#include "core/evaluate/statistics.h"
#include "core/evaluate/window_runner.h"

namespace tenpak::evaluate {
namespace {

/// What a run is compared with or kept for: at most one of them.
struct Others {
    model::Transformer* model = nullptr;
    ReferenceReader* kept = nullptr;
    ReferenceWriter* keep = nullptr;
};

/// What one scored position gives.
struct RowScore {
    double nll = 0, reference_nll = 0, kl = 0;
    bool same_top = false;
};

/// Sums over windows and tokens of one model's likelihoods, and of its agreement with a reference if there is one.
class Scorer {
   public:
    Scorer(std::span<const model::Token> text, const WindowPlan& plan, const Others& others, std::uint32_t top_k)
        : text_(text), plan_(plan), others_(others), top_k_(top_k) {}

    /// Window `index`, which both runners have been fed with.
    Status score(std::size_t index, WindowRunner& candidate, WindowRunner* reference) {
        const Window& w = plan_.windows[index];
        const std::size_t step = candidate.block_rows(), vocab = candidate.vocabulary();
        double sum = 0, reference_sum = 0, kl = 0;
        for (std::size_t at = 0; at < w.scored(); at += step) {
            const std::size_t count = std::min<std::size_t>(step, w.scored() - at);
            const auto targets = text_.subspan(w.begin + w.first + at, count);
            for (const model::Token t : targets) {
                if (static_cast<std::size_t>(t) >= vocab) return make_error(ErrorCode::kInvalidArgument, "token " + std::to_string(t) + " is outside the model's vocabulary");
            }
            TENPAK_ASSIGN(const auto logits, candidate.logits(index, at, count));
            std::span<const float> other;
            if (reference != nullptr) {
                TENPAK_ASSIGN(other, reference->logits(index, at, count));
            }
            TENPAK_RETURN_IF_ERROR(take_kept(count));
            scores_.assign(count, {});
            made_.resize(others_.keep != nullptr ? count : 0);
            pool_.parallel_for(count, [&](std::size_t r, unsigned) { score_row(r, logits.subspan(r * vocab, vocab), other.empty() ? other : other.subspan(r * vocab, vocab), targets[r]); });
            for (const ReferenceRow& row : made_) TENPAK_RETURN_IF_ERROR(others_.keep->add(row));
            for (const RowScore& s : scores_) {
                sum += s.nll;
                reference_sum += s.reference_nll;
                kl += s.kl;
                same_top_ += s.same_top ? 1 : 0;
            }
        }
        const double n = w.scored();
        total_ += sum;
        reference_total_ += reference_sum;
        kl_total_ += kl;
        means_.push_back(sum / n);
        reference_means_.push_back(reference_sum / n);
        kl_means_.push_back(kl / n);
        return {};
    }

    PerplexityResult result(bool of_reference) const {
        PerplexityResult r;
        r.context = plan_.context;
        r.convention = plan_.convention;
        r.window_nll = of_reference ? reference_means_ : means_;
        r.windows = static_cast<std::uint32_t>(r.window_nll.size());
        r.tokens = plan_.scored();
        r.nll = (of_reference ? reference_total_ : total_) / static_cast<double>(r.tokens);
        r.perplexity = std::exp(r.nll);
        r.standard_error = r.perplexity * mean_and_error(r.window_nll).standard_error;  // delta method
        return r;
    }
    Agreement agreement() const {
        if (others_.model == nullptr && others_.kept == nullptr) return {};
        const auto n = static_cast<double>(plan_.scored());
        return {kl_total_ / n, mean_and_error(kl_means_).standard_error, static_cast<double>(same_top_) / n, others_.kept != nullptr ? others_.kept->header().top_k : 0};
    }

   private:
    Status take_kept(std::size_t count) {
        kept_.clear();
        for (std::size_t r = 0; others_.kept != nullptr && r < count; ++r) {
            TENPAK_ASSIGN(ReferenceRow row, others_.kept->next());
            kept_.push_back(std::move(row));
        }
        return {};
    }

    void score_row(std::size_t r, std::span<const float> row, std::span<const float> ref, model::Token target) {
        const double total = log_sum_exp(row.data(), row.size());
        const auto t = static_cast<std::size_t>(target);
        RowScore& s = scores_[r];
        s.nll = total - static_cast<double>(row[t]);
        if (!made_.empty()) made_[r] = reference_row(row, total, t, top_k_);
        if (!kept_.empty()) {
            s.reference_nll = -static_cast<double>(kept_[r].target);
            s.kl = kl_from_row(kept_[r], row, total);
            s.same_top = argmax(row.data(), row.size()) == kept_[r].likely.front().token;
        } else if (!ref.empty()) {
            const double ref_total = log_sum_exp(ref.data(), ref.size());
            s.reference_nll = ref_total - static_cast<double>(ref[t]);
            s.kl = kl_divergence(ref.data(), ref_total, row.data(), total, row.size());
            s.same_top = argmax(row.data(), row.size()) == argmax(ref.data(), ref.size());
        }
    }

    std::span<const model::Token> text_;
    const WindowPlan& plan_;
    const Others& others_;
    std::uint32_t top_k_;
    ThreadPool pool_;
    std::vector<RowScore> scores_;
    std::vector<ReferenceRow> kept_, made_;
    std::vector<double> means_, reference_means_, kl_means_;
    double total_ = 0, reference_total_ = 0, kl_total_ = 0;
    std::uint64_t same_top_ = 0;
};

/// The plan of `model`, which must also fit `reference`, whose limit a context of 0 respects too.
Result<WindowPlan> plan_for(const model::Transformer& model, const model::Transformer* reference, std::size_t tokens, const PerplexityOptions& options) {
    std::uint32_t most = model.config().max_positions;
    if (reference != nullptr) {
        if (reference->config().vocab != model.config().vocab) {
            return make_error(ErrorCode::kMismatch, "a vocabulary of " + std::to_string(model.config().vocab) + " cannot be compared with the reference's " + std::to_string(reference->config().vocab));
        }
        most = std::min(most, reference->config().max_positions);
    }
    return plan_windows(tokens, most, options);
}

Result<Comparison> run(model::Transformer& model, const Others& others, std::span<const model::Token> text, const WindowPlan& plan, const JobContext& ctx) {
    const auto start = std::chrono::steady_clock::now();
    model.set_stop(ctx.stop);
    if (others.model != nullptr) others.model->set_stop(ctx.stop);
    WindowRunner runner(model, text, plan);
    std::optional<WindowRunner> other;
    if (others.model != nullptr) other.emplace(*others.model, text, plan);
    Scorer scorer(text, plan, others, kDefaultTopK);
    for (std::size_t at = 0; at < plan.windows.size();) {
        TENPAK_RETURN_IF_ERROR(ctx.check());
        ctx.report({"perplexity", at, plan.windows.size(), "windows", {}});
        const std::size_t count = runner.batch_from(at);
        TENPAK_RETURN_IF_ERROR(runner.start(at, count));
        if (other) TENPAK_RETURN_IF_ERROR(other->start(at, count));
        for (std::size_t i = 0; i < count; ++i, ++at) TENPAK_RETURN_IF_ERROR(scorer.score(at, runner, other ? &*other : nullptr));
    }
    ctx.report({"perplexity", plan.windows.size(), plan.windows.size(), "windows", {}});
    Comparison c{scorer.result(false), scorer.result(true), scorer.agreement(), {}};
    c.candidate.seconds = c.reference.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
    if (!std::isfinite(c.candidate.perplexity)) return make_error(ErrorCode::kNumeric, "the perplexity is not a finite number");
    return c;
}

/// The paired difference of the whole text: windows of unequal length weigh by their tokens, the spread stays as it is.
Result<PairedDelta> delta_of(const Comparison& c) {
    TENPAK_ASSIGN(const PairedDelta d, paired_delta(c.candidate, c.reference));
    const double shift = (c.candidate.nll - c.reference.nll) - std::log1p(d.percent / 100);
    const auto moved = [&](double percent) { return 100 * std::expm1(std::log1p(percent / 100) + shift); };
    return PairedDelta{moved(d.percent), moved(d.low), moved(d.high)};
}

template <class Body>
auto guarded(const Body& body) -> decltype(body()) {
    try {
        return body();
    } catch (const std::bad_alloc&) {
        return make_error(ErrorCode::kOutOfMemory, "not enough memory to measure perplexity", {}, "Use a smaller context");
    }
}

}  // namespace

Result<PerplexityResult> perplexity(model::Transformer& model, std::span<const model::Token> text, const PerplexityOptions& options, const JobContext& ctx) {
    return guarded([&]() -> Result<PerplexityResult> {
        TENPAK_ASSIGN(const WindowPlan plan, plan_for(model, nullptr, text.size(), options));
        TENPAK_ASSIGN(Comparison c, run(model, {}, text, plan, ctx));
        return std::move(c.candidate);
    });
}

Result<PerplexityResult> perplexity_and_keep(model::Transformer& model, std::span<const model::Token> text, const PerplexityOptions& options, const fs::path& path,
                                             const std::string& name, const JobContext& ctx) {
    return guarded([&]() -> Result<PerplexityResult> {
        TENPAK_ASSIGN(const WindowPlan plan, plan_for(model, nullptr, text.size(), options));
        TENPAK_ASSIGN(ReferenceWriter writer, ReferenceWriter::create(path, reference_header(plan, text, model.config().vocab, name)));
        Others others;
        others.keep = &writer;
        TENPAK_ASSIGN(Comparison c, run(model, others, text, plan, ctx));
        TENPAK_RETURN_IF_ERROR(writer.commit());
        return std::move(c.candidate);
    });
}

Result<Comparison> compare(model::Transformer& candidate, model::Transformer& reference, std::span<const model::Token> text, const PerplexityOptions& options,
                           const JobContext& ctx) {
    return guarded([&]() -> Result<Comparison> {
        TENPAK_ASSIGN(const WindowPlan plan, plan_for(candidate, &reference, text.size(), options));
        Others others;
        others.model = &reference;
        TENPAK_ASSIGN(Comparison c, run(candidate, others, text, plan, ctx));
        TENPAK_ASSIGN(c.delta, delta_of(c));
        return c;
    });
}

Result<Comparison> compare(model::Transformer& candidate, ReferenceReader& reference, std::span<const model::Token> text, const PerplexityOptions& options,
                           const JobContext& ctx) {
    return guarded([&]() -> Result<Comparison> {
        TENPAK_ASSIGN(const WindowPlan plan, plan_for(candidate, nullptr, text.size(), options));
        TENPAK_RETURN_IF_ERROR(reference.check_same(reference_header(plan, text, candidate.config().vocab, {})));
        Others others;
        others.kept = &reference;
        TENPAK_ASSIGN(Comparison c, run(candidate, others, text, plan, ctx));
        TENPAK_ASSIGN(c.delta, delta_of(c));
        return c;
    });
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

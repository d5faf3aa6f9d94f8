// SPDX-License-Identifier: Apache-2.0
#include "core/evaluate/multiple_choice.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <limits>
#include <new>

#include "core/evaluate/softmax.h"
#include "core/evaluate/statistics.h"

namespace tenpak::evaluate {
namespace {

// Tokens of one forward pass over the beginnings that an item's choices share.
constexpr std::size_t kBatchTokens = 1024;
constexpr std::size_t kMaxSlots = 16;

/// An item's choices as tokens: all begin with `shared` tokens, which are run once.
struct Encoded {
    std::vector<std::vector<model::Token>> whole;  ///< context and choice
    std::vector<std::size_t> from;                 ///< first token of each that counts
    std::size_t shared = 0, longest = 0;
};

std::size_t characters(std::string_view utf8) {
    return static_cast<std::size_t>(std::count_if(utf8.begin(), utf8.end(), [](char c) { return (static_cast<unsigned char>(c) & 0xc0) != 0x80; }));
}

Result<Encoded> encode(const model::Tokenizer& tokenizer, const ChoiceItem& item, std::size_t most) {
    Encoded e;
    TENPAK_ASSIGN(const auto context, tokenizer.encode(item.context, false));
    if (context.empty()) return make_error(ErrorCode::kInvalidArgument, "an item's context has no tokens", item.context.substr(0, 80));
    for (const std::string& choice : item.choices) {
        TENPAK_ASSIGN(auto whole, tokenizer.encode(item.context + " " + choice, false));
        std::size_t from = context.size();
        if (whole.size() <= from) return make_error(ErrorCode::kInvalidArgument, "a choice has no tokens of its own", choice.substr(0, 80));
        if (whole.size() > most + 1) {  // the last token is only a target
            const std::size_t cut = whole.size() - most - 1;
            whole.erase(whole.begin(), whole.begin() + static_cast<std::ptrdiff_t>(cut));
            from = from > cut ? from - cut : 1;
        }
        e.longest = std::max(e.longest, whole.size());
        e.whole.push_back(std::move(whole));
        e.from.push_back(from);
    }
    // What predicts a choice's first token must be fed with the choice.
    e.shared = *std::min_element(e.from.begin(), e.from.end()) - 1;
    for (const auto& w : e.whole) {
        const auto& first = e.whole.front();
        e.shared = std::min<std::size_t>(e.shared, static_cast<std::size_t>(std::mismatch(first.begin(), first.end(), w.begin(), w.end()).first - first.begin()));
    }
    return e;
}

class Run {
   public:
    Run(model::Transformer& model, std::uint32_t slots, std::uint32_t capacity) : model_(model), cache_(model.config(), model.backend(), slots, capacity) {}

    /// scores[item][choice] of up to `slots` items.
    Status score(std::span<const Encoded> items, std::vector<std::vector<double>>& scores) {
        cache_.clear();
        std::vector<model::SequenceChunk> chunks;
        for (std::uint32_t s = 0; s < items.size(); ++s) {
            if (items[s].shared > 0) chunks.push_back({s, std::span(items[s].whole[0]).first(items[s].shared)});
        }
        if (!chunks.empty()) TENPAK_RETURN_IF_ERROR(model_.hidden_states(chunks, cache_, hidden_));
        std::size_t choices = 0;
        for (const Encoded& e : items) choices = std::max(choices, e.whole.size());
        scores.assign(items.size(), {});
        for (std::size_t c = 0; c < choices; ++c) {
            chunks.clear();
            for (std::uint32_t s = 0; s < items.size(); ++s) {
                const Encoded& e = items[s];
                cache_.truncate(s, static_cast<std::uint32_t>(e.shared));
                if (c < e.whole.size()) chunks.push_back({s, std::span(e.whole[c]).subspan(e.shared, e.whole[c].size() - 1 - e.shared)});
            }
            TENPAK_RETURN_IF_ERROR(model_.hidden_states(chunks, cache_, hidden_));
            std::size_t row = 0;
            for (const model::SequenceChunk& chunk : chunks) {
                TENPAK_ASSIGN(const double sum, choice(items[chunk.slot], c, row));
                scores[chunk.slot].push_back(sum);
                row += chunk.tokens.size();
            }
        }
        return {};
    }

   private:
    /// ln p of choice `c`, whose fed tokens begin at hidden row `row`.
    Result<double> choice(const Encoded& e, std::size_t c, std::size_t row) {
        const auto& tokens = e.whole[c];
        const std::size_t dim = model_.config().hidden, vocab = model_.config().vocab, from = e.from[c], count = tokens.size() - from;
        TENPAK_RETURN_IF_ERROR(model_.head(std::span(hidden_).subspan((row + from - 1 - e.shared) * dim, count * dim), logits_));
        double sum = 0;
        for (std::size_t i = 0; i < count; ++i) {
            const float* logits = logits_.data() + i * vocab;
            const auto target = static_cast<std::size_t>(tokens[from + i]);
            if (target >= vocab) return make_error(ErrorCode::kInvalidArgument, "token " + std::to_string(target) + " is outside the model's vocabulary");
            sum += static_cast<double>(logits[target]) - log_sum_exp(logits, vocab);
        }
        return sum;
    }

    model::Transformer& model_;
    model::KvCache cache_;
    std::vector<float> hidden_, logits_;
};

std::size_t best(std::span<const double> v) { return static_cast<std::size_t>(std::max_element(v.begin(), v.end()) - v.begin()); }

void take(AccuracyResult& r, const ChoiceItem& item, const std::vector<double>& scores, std::uint32_t& right_raw) {
    std::vector<double> normalized;
    for (std::size_t c = 0; c < scores.size(); ++c) normalized.push_back(scores[c] / static_cast<double>(std::max<std::size_t>(1, characters(item.choices[c]))));
    r.right.push_back(best(normalized) == item.answer);
    right_raw += best(scores) == item.answer ? 1 : 0;
    r.scores.insert(r.scores.end(), scores.begin(), scores.end());
}

Result<AccuracyResult> measure(model::Transformer& model, const model::Tokenizer& tokenizer, const std::vector<ChoiceItem>& items, const ChoiceOptions& options,
                               const JobContext& ctx) {
    const auto start = std::chrono::steady_clock::now();
    const std::size_t count = options.max_items == 0 ? items.size() : std::min<std::size_t>(items.size(), options.max_items);
    if (count == 0) return make_error(ErrorCode::kInvalidArgument, "no items to measure accuracy on");
    std::vector<const ChoiceItem*> chosen;
    std::vector<Encoded> encoded;
    std::size_t longest = 2;
    for (std::size_t i = 0; i < count; ++i) {
        chosen.push_back(&items[i * items.size() / count]);
        TENPAK_ASSIGN(Encoded e, encode(tokenizer, *chosen.back(), model.config().max_positions));
        longest = std::max(longest, e.longest);
        encoded.push_back(std::move(e));
    }
    model.set_stop(ctx.stop);
    const std::size_t slots = std::clamp<std::size_t>(kBatchTokens / longest, 1, kMaxSlots);
    Run run(model, static_cast<std::uint32_t>(slots), static_cast<std::uint32_t>(longest));
    AccuracyResult r;
    r.items = static_cast<std::uint32_t>(count);
    std::uint32_t right_raw = 0;
    for (std::size_t at = 0; at < count; at += slots) {
        TENPAK_RETURN_IF_ERROR(ctx.check());
        ctx.report({"accuracy", at, count, "items", {}});
        std::vector<std::vector<double>> scores;
        const std::size_t n = std::min(slots, count - at);
        TENPAK_RETURN_IF_ERROR(run.score(std::span(encoded).subspan(at, n), scores));
        for (std::size_t i = 0; i < n; ++i) take(r, *chosen[at + i], scores[i], right_raw);
    }
    ctx.report({"accuracy", count, count, "items", {}});
    const auto n = static_cast<double>(count);
    const double p = static_cast<double>(std::count(r.right.begin(), r.right.end(), true)) / n;
    r.accuracy = 100 * p;
    r.standard_error = count > 1 ? 100 * std::sqrt(p * (1 - p) / (n - 1)) : 0;
    r.accuracy_raw = 100 * right_raw / n;
    r.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
    return r;
}

}  // namespace

Result<AccuracyResult> task_accuracy(model::Transformer& model, const model::Tokenizer& tokenizer, const std::vector<ChoiceItem>& items, const ChoiceOptions& options,
                                     const JobContext& ctx) {
    try {
        return measure(model, tokenizer, items, options, ctx);
    } catch (const std::bad_alloc&) {
        return make_error(ErrorCode::kOutOfMemory, "not enough memory to measure accuracy");
    }
}

Result<AccuracyDelta> accuracy_delta(const AccuracyResult& candidate, const AccuracyResult& reference) {
    if (candidate.right.size() != reference.right.size() || candidate.right.empty()) {
        return make_error(ErrorCode::kMismatch, "accuracies on different items cannot be compared");
    }
    AccuracyDelta d;
    std::vector<double> difference;
    for (std::size_t i = 0; i < candidate.right.size(); ++i) {
        difference.push_back((candidate.right[i] ? 1.0 : 0.0) - (reference.right[i] ? 1.0 : 0.0));
        d.gained += difference.back() > 0 ? 1 : 0;
        d.lost += difference.back() < 0 ? 1 : 0;
    }
    const MeanError m = mean_and_error(difference);
    const double half = difference.size() < 2 ? 0 : student_t_975(difference.size() - 1) * m.standard_error;
    d.points = 100 * m.mean;
    d.low = 100 * (m.mean - half);
    d.high = 100 * (m.mean + half);
    return d;
}

}  // namespace tenpak::evaluate

// SPDX-License-Identifier: Apache-2.0
#include "core/evaluate/window_runner.h"

#include <algorithm>

namespace tenpak::evaluate {
namespace {

// Tokens of one forward pass: enough for full matrix tiles, few enough to hear "stop" between layers.
constexpr std::size_t kBatchTokens = 1024;
// Logits are computed for so many values at a time (16 MiB).
constexpr std::size_t kLogitValues = 4u << 20;

std::size_t most_windows(const WindowPlan& plan) { return std::max<std::size_t>(1, std::min(plan.windows.size(), kBatchTokens / std::max(1u, plan.context))); }

}  // namespace

WindowRunner::WindowRunner(model::Transformer& model, std::span<const model::Token> text, const WindowPlan& plan)
    : model_(model), text_(text), plan_(plan), most_(most_windows(plan)), cache_(model.config(), model.backend(), static_cast<std::uint32_t>(most_), plan.context) {}

std::size_t WindowRunner::vocabulary() const { return model_.config().vocab; }
std::size_t WindowRunner::block_rows() const { return std::max<std::size_t>(1, kLogitValues / vocabulary()); }
std::size_t WindowRunner::batch_from(std::size_t at) const { return std::min(most_, plan_.windows.size() - at); }

Status WindowRunner::start(std::size_t at, std::size_t count) {
    cache_.clear();
    first_ = at;
    row_of_.clear();
    replaced_.clear();
    replaced_.reserve(count);
    std::vector<model::SequenceChunk> chunks;
    std::size_t rows = 0;
    for (std::size_t i = 0; i < count; ++i) {
        const Window& w = plan_.windows[at + i];
        // The last token of a window is only a target: nothing is predicted from it.
        std::span<const model::Token> fed = text_.subspan(w.begin, w.length - 1);
        if (plan_.bos >= 0) {
            replaced_.emplace_back(fed.begin(), fed.end());
            replaced_.back().front() = plan_.bos;
            fed = replaced_.back();
        }
        chunks.push_back({static_cast<std::uint32_t>(i), fed});
        row_of_.push_back(rows);
        rows += fed.size();
    }
    return model_.hidden_states(chunks, cache_, hidden_);
}

Result<std::span<const float>> WindowRunner::logits(std::size_t index, std::size_t row, std::size_t count) {
    const std::size_t dim = model_.config().hidden;
    const std::size_t at = row_of_[index - first_] + plan_.windows[index].first - 1 + row;
    TENPAK_RETURN_IF_ERROR(model_.head(std::span(hidden_).subspan(at * dim, count * dim), logits_));
    return std::span<const float>(logits_);
}

}  // namespace tenpak::evaluate

// SPDX-License-Identifier: Apache-2.0
#include "core/evaluate/decode_rounds.h"

#include <chrono>
#include <random>

#include "core/evaluate/softmax.h"

namespace tenpak::evaluate {

std::vector<model::Token> random_prompt(std::uint32_t length, std::uint32_t vocab) {
    std::mt19937 rng(12345);
    std::vector<model::Token> tokens(length);
    for (auto& t : tokens) t = static_cast<model::Token>(rng() % vocab);
    return tokens;
}

DecodeRounds::DecodeRounds(model::Transformer& model, std::span<const model::Token> prompt, std::uint32_t batch, std::uint32_t steps)
    : model_(model), prompt_(prompt), cache_(model.config(), model.backend(), batch, static_cast<std::uint32_t>(prompt.size()) + steps), tokens_(batch, prompt.back()) {}

Status DecodeRounds::prefill() {
    // Every sequence gets the prompt by itself: one long batch of prompts would need memory that decoding does not.
    for (std::uint32_t s = 0; s < tokens_.size(); ++s) {
        const model::SequenceChunk chunk{s, prompt_};
        TENPAK_RETURN_IF_ERROR(model_.forward({&chunk, 1}, cache_, model::LogitsOf::kNone, logits_));
    }
    return {};
}

Status DecodeRounds::run(std::uint64_t steps, const JobContext& ctx, std::vector<double>& seconds) {
    using Clock = std::chrono::steady_clock;
    std::vector<model::SequenceChunk> chunks;
    for (std::uint32_t s = 0; s < tokens_.size(); ++s) {
        cache_.truncate(s, static_cast<std::uint32_t>(prompt_.size()));
        tokens_[s] = prompt_.back();
        chunks.push_back({s, std::span(tokens_).subspan(s, 1)});
    }
    const std::size_t vocab = model_.config().vocab;
    for (std::uint64_t i = 0; i < steps; ++i) {
        TENPAK_RETURN_IF_ERROR(ctx.check());
        const auto start = Clock::now();
        TENPAK_RETURN_IF_ERROR(model_.forward(chunks, cache_, model::LogitsOf::kLastOfChunk, logits_));
        for (std::size_t s = 0; s < tokens_.size(); ++s) tokens_[s] = static_cast<model::Token>(argmax(logits_.data() + s * vocab, vocab));
        seconds.push_back(std::chrono::duration<double>(Clock::now() - start).count());
    }
    return {};
}

}  // namespace tenpak::evaluate

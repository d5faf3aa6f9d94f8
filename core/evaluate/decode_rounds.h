// SPDX-License-Identifier: Apache-2.0
// Rounds of decode steps of one model at one batch size: what timing.h and ab_timing.h measure with.
#pragma once
#include <cstdint>
#include <vector>

#include "core/base/job_context.h"
#include "core/model/transformer.h"

namespace tenpak::evaluate {

/// Pseudo-random tokens, the same for the same length and vocabulary (speed does not depend on them).
std::vector<model::Token> random_prompt(std::uint32_t length, std::uint32_t vocab);

/// `batch` sequences behind the same prompt. Every round starts at the end of the prompt and feeds each step's likeliest
/// tokens to the next one. One thread.
class DecodeRounds {
   public:
    /// `steps`: longest round. The prompt and the round must fit the model's context.
    DecodeRounds(model::Transformer& model, std::span<const model::Token> prompt, std::uint32_t batch, std::uint32_t steps);
    Status prefill();
    /// Appends the seconds of each step.
    Status run(std::uint64_t steps, const JobContext& ctx, std::vector<double>& seconds);
    std::uint64_t cache_bytes() const { return cache_.bytes(); }
    std::uint32_t batch() const { return static_cast<std::uint32_t>(tokens_.size()); }

   private:
    model::Transformer& model_;
    std::span<const model::Token> prompt_;
    model::KvCache cache_;
    std::vector<model::Token> tokens_;
    std::vector<float> logits_;
};

}  // namespace tenpak::evaluate

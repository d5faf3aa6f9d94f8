// SPDX-License-Identifier: Apache-2.0
// The next token from logits: temperature, top-k, top-p, min-p and repetition penalty in the order and with the rules of
// transformers' logits processors, so that the same settings keep the same tokens with the same probabilities.
#pragma once
#include <cstdint>
#include <span>
#include <vector>

#include "core/base/error.h"
#include "core/model/tokenizer.h"

namespace tenpak::model {

struct SamplingOptions {
    double temperature = 1;         ///< 0: the likeliest token always
    std::uint32_t top_k = 0;        ///< 0: all
    double top_p = 1;               ///< 1: all
    double min_p = 0;               ///< of the likeliest token's probability; 0: all
    double repetition_penalty = 1;  ///< > 1: tokens seen before become less likely (Keskar et al. 2019)
    std::uint64_t seed = 0;
};
/// kInvalidArgument names the option that is out of range.
Status check_sampling(const SamplingOptions& options);

struct SampleCandidate {
    Token id = 0;
    double probability = 0;
};
/// The tokens left to choose from, likeliest first (equal ones by id); probabilities sum to 1. With temperature 0 one.
/// `seen`: tokens that the repetition penalty applies to. kNumeric: a logit is NaN or none is finite.
Result<std::vector<SampleCandidate>> sampling_candidates(std::span<const float> logits, std::span<const Token> seen, const SamplingOptions& options);

/// Reproducible: the same options and logits give the same tokens on every machine. Not thread-safe.
class Sampler {
   public:
    explicit Sampler(const SamplingOptions& options) : options_(options), state_(options.seed) {}
    Result<Token> next(std::span<const float> logits, std::span<const Token> seen);

   private:
    double uniform();  ///< in [0, 1)
    SamplingOptions options_;
    std::uint64_t state_;
};

}  // namespace tenpak::model

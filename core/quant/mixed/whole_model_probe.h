// SPDX-License-Identifier: Apache-2.0
// How far a changed model's predictions are from the unchanged one's, over a few windows of text. Only hidden states are
// kept of the unchanged model: its logits are made again, a block of rows at a time.
#pragma once
#include <span>
#include <vector>

#include "core/base/thread_pool.h"
#include "core/model/transformer.h"

namespace tenpak::quant {

struct ProbeResult {
    double kl = 0;   ///< mean over tokens of sum p (ln p - ln q), nats: p the unchanged model's
    double nll = 0;  ///< mean rise of the negative log-likelihood of the token that came, nats
};

class WholeModelProbe {
   public:
    /// Runs `model` as it is now. `tokens` are windows of `length`, one after the other.
    static Result<WholeModelProbe> start(model::Transformer& model, std::vector<model::Token> tokens, std::uint32_t length, const JobContext& ctx);
    /// The same for `model` as it has become. The result does not depend on the number of threads.
    Result<ProbeResult> measure(ThreadPool& pool, const JobContext& ctx);
    std::size_t tokens() const { return tokens_.size(); }

   private:
    WholeModelProbe(model::Transformer& model, std::vector<model::Token> tokens, std::uint32_t length) : model_(&model), tokens_(std::move(tokens)), length_(length) {}
    Status run(std::vector<float>& hidden);
    model::Transformer* model_;
    std::vector<model::Token> tokens_;
    std::uint32_t length_;
    std::vector<float> hidden_;  // of the unchanged model
};

}  // namespace tenpak::quant

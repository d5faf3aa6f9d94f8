// SPDX-License-Identifier: Apache-2.0
// Prompts for measuring: random words, a different one each time, so that no prefix cache makes a server look faster.
#pragma once
#include <memory>
#include <random>

#include "core/serving/completion_request.h"

namespace tenpak::serving {

/// Deterministic by seed. Not thread-safe.
class PromptMaker {
   public:
    /// `tokenizer` may be null: then a prompt has about `tokens` tokens (a word is taken for one), and no token ids.
    PromptMaker(std::shared_ptr<const model::Tokenizer> tokenizer, std::uint32_t tokens, std::uint64_t seed);
    /// With a tokenizer: exactly `tokens` token ids, and the text that they decode to.
    Result<Prompt> next();
    bool token_ids() const { return tokenizer_ != nullptr; }

   private:
    std::shared_ptr<const model::Tokenizer> tokenizer_;
    std::uint32_t tokens_;
    std::mt19937_64 random_;
};

/// tokenizer.json of a model's folder (which needs no weights), or that file itself.
Result<std::shared_ptr<const model::Tokenizer>> load_local_tokenizer(const std::string& path);

}  // namespace tenpak::serving

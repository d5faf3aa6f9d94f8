// SPDX-License-Identifier: Apache-2.0
// A model's continuation of a prompt, token by token.
#pragma once
#include <functional>
#include <span>
#include <string>
#include <vector>

#include "core/base/job_context.h"
#include "core/model/sampler.h"
#include "core/model/tokenizer.h"
#include "core/model/transformer.h"

namespace tenpak::model {

struct GenerateOptions {
    std::uint32_t max_tokens = 128;
    SamplingOptions sampling;
    std::vector<Token> end_tokens;  ///< one of these ends the text and is not part of it
};
struct Generated {
    std::vector<Token> tokens;
    std::string text;           ///< without special tokens
    std::string finish_reason;  ///< "stop": an end token; "length": max_tokens or the model's context
    double first_token_seconds = 0, seconds = 0;
    double tokens_per_second = 0;  ///< of the tokens after the first
};
/// `on_text` is given whole characters as they come. kInvalidArgument: an empty prompt, or one that fills the model's
/// context; kCancelled: asked to stop.
Result<Generated> generate(Transformer& transformer, const Tokenizer& tokenizer, std::span<const Token> prompt, const GenerateOptions& options,
                           const std::function<void(const std::string&)>& on_text, const JobContext& ctx);

/// The tokens that end a text: "eos_token_id" of generation_config.json, else of config.json, else the eos_token that
/// tokenizer_config.json names. Empty where none is told.
Result<std::vector<Token>> end_tokens(const ModelSource& source, const Tokenizer& tokenizer);

}  // namespace tenpak::model

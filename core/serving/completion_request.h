// SPDX-License-Identifier: Apache-2.0
// Bodies of requests to /v1/completions and /v1/chat/completions.
#pragma once
#include <string>
#include <vector>

#include "core/model/tokenizer.h"
#include "core/serving/endpoint.h"

namespace tenpak::serving {

struct Prompt {
    std::string text;
    std::vector<model::Token> tokens;  ///< of the text, where there is a local tokenizer
};

/// What of the protocol's optional parts a server takes. Servers differ in what they refuse.
struct Dialect {
    bool token_prompts = true;  ///< "prompt" as a list of token ids; no chat endpoint takes that
    bool ignore_eos = true;     ///< vLLM, SGLang, llama-server: generate to the length that was asked for
    bool usage = true;          ///< stream_options.include_usage
};

/// A streamed, greedy completion of exactly or at most `max_tokens` tokens.
std::string stream_body(const Endpoint& endpoint, const Prompt& prompt, std::uint32_t max_tokens, const Dialect& dialect);

/// How log-probabilities of a prompt are asked for.
enum class LogprobsBy : std::uint8_t {
    kPromptLogprobs,  ///< vLLM's "prompt_logprobs", by token id
    kEchoTokens,      ///< "echo" and "logprobs", the prompt as token ids (vLLM, SGLang)
    kEchoText,        ///< the same with the prompt as text (llama-cpp-python, servers of TGI's kind)
};
const char* logprobs_by_name(LogprobsBy by);  ///< "prompt_logprobs", "echo", "echo of text"
/// One token is generated besides, because some servers take 0 for "no limit".
std::string logprobs_body(const Endpoint& endpoint, const Prompt& prompt, LogprobsBy by);

}  // namespace tenpak::serving

// SPDX-License-Identifier: Apache-2.0
#include "core/serving/completion_request.h"

#include "core/base/json.h"

namespace tenpak::serving {
namespace {

std::string dump(const OrderedJson& j) { return j.dump(-1, ' ', false, OrderedJson::error_handler_t::replace); }

OrderedJson begin(const Endpoint& endpoint) {
    OrderedJson j = OrderedJson::object();
    if (!endpoint.model.empty()) j["model"] = endpoint.model;
    return j;
}

}  // namespace

std::string stream_body(const Endpoint& endpoint, const Prompt& prompt, std::uint32_t max_tokens, const Dialect& dialect) {
    OrderedJson j = begin(endpoint);
    if (endpoint.api == Api::kChat) {
        j["messages"] = OrderedJson::array({{{"role", "user"}, {"content", prompt.text}}});
    } else if (dialect.token_prompts && !prompt.tokens.empty()) {
        j["prompt"] = prompt.tokens;
    } else {
        j["prompt"] = prompt.text;
    }
    j["max_tokens"] = max_tokens;
    j["temperature"] = 0;
    j["stream"] = true;
    if (dialect.usage) j["stream_options"] = {{"include_usage", true}};
    if (dialect.ignore_eos) j["ignore_eos"] = true;
    return dump(j);
}

const char* logprobs_by_name(LogprobsBy by) {
    switch (by) {
        case LogprobsBy::kPromptLogprobs: return "prompt_logprobs";
        case LogprobsBy::kEchoTokens: return "echo";
        case LogprobsBy::kEchoText: return "echo of text";
    }
    return "";
}

std::string logprobs_body(const Endpoint& endpoint, const Prompt& prompt, LogprobsBy by) {
    OrderedJson j = begin(endpoint);
    if (by == LogprobsBy::kEchoText) j["prompt"] = prompt.text;
    else j["prompt"] = prompt.tokens;
    j["max_tokens"] = 1;
    j["temperature"] = 0;
    if (by == LogprobsBy::kPromptLogprobs) {
        j["prompt_logprobs"] = 1;
    } else {
        j["echo"] = true;
        j["logprobs"] = 1;
    }
    return dump(j);
}

}  // namespace tenpak::serving

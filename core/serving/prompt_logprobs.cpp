// SPDX-License-Identifier: Apache-2.0
#include "core/serving/prompt_logprobs.h"

#include <cmath>
#include <limits>

#include "core/base/json.h"

namespace tenpak::serving {
namespace {

constexpr double kNone = std::numeric_limits<double>::quiet_NaN();
// A probability of one is a logarithm of zero; half-precision kernels overshoot it a little.
constexpr double kMostLogprob = 1e-2;

Error malformed(std::string what, const std::string& where) { return make_error(ErrorCode::kMalformed, std::move(what), where); }
Error not_offered(const std::string& where) {
    return make_error(ErrorCode::kUnsupported, "the server gives no log-probabilities of a prompt", where,
                      "Perplexity needs vLLM (prompt_logprobs), or echo with logprobs: SGLang, llama-cpp-python with --logits_all true");
}

const Json* member(const Json& object, const char* key) {
    if (!object.is_object()) return nullptr;
    const auto it = object.find(key);
    return it == object.end() || it->is_null() ? nullptr : &*it;
}

Result<double> value_of(const Json& j, std::size_t position, const std::string& where) {
    if (!j.is_number()) return malformed("no log-probability of token " + std::to_string(position) + " of the prompt", where);
    const double v = j.get<double>();
    if (!(v <= kMostLogprob)) return malformed("the log-probability of token " + std::to_string(position) + " of the prompt is not one", where);
    return v;
}

/// [null, {"<id>": {"logprob": x, …}, …}, …], one entry a token of the prompt.
Status read_by_id(const Json& list, const Prompt& prompt, const std::string& where, PromptLogprobs& out) {
    if (!list.is_array()) return malformed("\"prompt_logprobs\" is no list", where);
    if (list.size() != prompt.tokens.size()) {
        return make_error(ErrorCode::kMismatch, "the server scored " + std::to_string(list.size()) + " tokens where the prompt has " + std::to_string(prompt.tokens.size()), where);
    }
    for (std::size_t i = 0; i < list.size(); ++i) {
        if (i == 0) {
            out.logprobs.push_back(kNone);
            continue;
        }
        const Json* entry = member(list[i], std::to_string(prompt.tokens[i]).c_str());
        if (entry == nullptr) return make_error(ErrorCode::kMismatch, "the server scored another token than number " + std::to_string(i) + " of the prompt", where, "Give the tokenizer of the model that is served");
        const Json* logprob = member(*entry, "logprob");
        TENPAK_ASSIGN(const double v, value_of(logprob != nullptr ? *logprob : *entry, i, where));
        out.logprobs.push_back(v);
    }
    return {};
}

/// {"tokens": […], "token_logprobs": [null, x, …]} over the prompt and, behind it, `generated` tokens.
Status read_echo(const Json& lists, std::size_t generated, const std::string& where, PromptLogprobs& out) {
    const Json* values = member(lists, "token_logprobs");
    if (values == nullptr || !values->is_array()) return not_offered(where);
    if (values->size() <= generated + 1) return not_offered(where);  // the generated token alone: echo was not heard
    const Json* tokens = member(lists, "tokens");
    if (tokens != nullptr && (!tokens->is_array() || tokens->size() != values->size())) return malformed("\"tokens\" and \"token_logprobs\" differ in length", where);
    for (std::size_t i = 0; i < values->size(); ++i) {
        if (tokens != nullptr) out.tokens.push_back((*tokens)[i].is_string() ? (*tokens)[i].get<std::string>() : std::string());
        // null: the first token has no prediction; where all are null the server only pretends.
        if ((*values)[i].is_null()) {
            if (i > 1) return not_offered(where);
            out.logprobs.push_back(kNone);
            continue;
        }
        TENPAK_ASSIGN(const double v, value_of((*values)[i], i, where));
        out.logprobs.push_back(v);
    }
    return {};
}

}  // namespace

Result<PromptLogprobs> read_prompt_logprobs(std::string_view body, const Prompt& prompt, LogprobsBy by, const std::string& where) {
    TENPAK_ASSIGN(const Json j, parse_json(body, where));
    const Json* choices = member(j, "choices");
    if (choices == nullptr || !choices->is_array() || choices->empty()) return malformed("the answer has no \"choices\"", where);
    const Json& choice = choices->front();
    PromptLogprobs out;
    std::size_t generated = 1;
    if (const Json* usage = member(j, "usage")) {
        if (const Json* n = member(*usage, "prompt_tokens"); n != nullptr && n->is_number_unsigned()) out.usage_prompt_tokens = n->get<std::uint64_t>();
        // None where the model ends the text at once and the server does not count the end.
        if (const Json* n = member(*usage, "completion_tokens"); n != nullptr && n->is_number_unsigned()) generated = n->get<std::uint64_t>() == 0 ? 0 : 1;
    }
    if (by == LogprobsBy::kPromptLogprobs) {
        const Json* list = member(choice, "prompt_logprobs");
        if (list == nullptr) list = member(j, "prompt_logprobs");
        if (list == nullptr) return not_offered(where);
        TENPAK_RETURN_IF_ERROR(read_by_id(*list, prompt, where, out));
        return out;
    }
    const Json* lists = member(choice, "logprobs");
    if (lists == nullptr) return not_offered(where);
    TENPAK_RETURN_IF_ERROR(read_echo(*lists, generated, where, out));
    if (by == LogprobsBy::kEchoTokens && out.logprobs.size() != prompt.tokens.size() + generated) {
        return make_error(ErrorCode::kMismatch, "the server echoes " + std::to_string(out.logprobs.size()) + " tokens where the prompt and the generated one are " + std::to_string(prompt.tokens.size() + generated), where);
    }
    if (generated == 1) {
        if (!out.tokens.empty()) {
            out.generated = out.tokens.back();
            out.tokens.pop_back();
        }
        out.logprobs.pop_back();
    }
    return out;
}

Status check_alignment(const PromptLogprobs& answer, const std::string& plain, const std::string& where) {
    if (answer.tokens.empty() || answer.tokens.front().starts_with("token_id:")) return {};  // no text to compare
    std::string echoed;
    for (const std::string& t : answer.tokens) echoed += t;
    // A BOS, or a space that the server's tokenizer begins with, may stand before it.
    if (echoed.ends_with(plain)) return {};
    if ((echoed + answer.generated).ends_with(plain)) {
        return make_error(ErrorCode::kUnsupported, "the server's log-probabilities of a prompt are those of the position after, as llama-cpp-python's are where the model's prompts begin without BOS", where,
                          "Serve the model so that it adds a BOS (--kv_overrides tokenizer.ggml.add_bos_token=bool:true), or by vLLM");
    }
    return make_error(ErrorCode::kMismatch, "the server echoes another text than the prompt", where);
}

}  // namespace tenpak::serving

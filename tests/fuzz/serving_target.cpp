// SPDX-License-Identifier: Apache-2.0
#include <cstdlib>

#include "core/base/file.h"
#include "core/serving/completion_stream.h"
#include "core/serving/prompt_logprobs.h"
#include "tests/fuzz/targets.h"

namespace tenpak::fuzz {
namespace {

using namespace serving;

constexpr std::uint32_t kTokens = 8;

Result<StreamedCompletion> read(std::string_view stream, std::size_t piece) {
    CompletionStream c(kTokens);
    for (std::size_t at = 0; at < stream.size(); at += piece) TENPAK_RETURN_IF_ERROR(c.data(stream.substr(at, piece), {}));
    return c.finish();
}

void check_stream(std::string_view stream) {
    const auto whole = read(stream, stream.size() + 1), cut = read(stream, 3);
    // Where the network cuts a stream must not matter.
    if (whole.ok() != cut.ok()) std::abort();
    if (!whole.ok()) {
        if (whole.error().what != cut.error().what || whole.error().text().find('\n') != std::string::npos) std::abort();
        return;
    }
    if (whole->text != cut->text || whole->pieces.size() != cut->pieces.size() || whole->completion_tokens != cut->completion_tokens) std::abort();
    if (whole->pieces.size() > kTokens + 16 || whole->completion_tokens.value_or(0) > kTokens + 1) std::abort();
}

void check_logprobs(std::string_view body) {
    const Prompt prompt{"The cat sat", {10, 20, 30}};
    for (const LogprobsBy by : {LogprobsBy::kPromptLogprobs, LogprobsBy::kEchoTokens, LogprobsBy::kEchoText}) {
        const auto r = read_prompt_logprobs(body, prompt, by, "fuzz");
        if (!r.ok()) {
            if (r.error().text().find('\n') != std::string::npos) std::abort();
            continue;
        }
        for (const double v : r->logprobs) {
            if (v > 0.01) std::abort();
        }
        if (by != LogprobsBy::kEchoText && r->logprobs.size() != prompt.tokens.size()) std::abort();
        (void)check_alignment(*r, prompt.text, "fuzz");
    }
}

}  // namespace

void serving_target(Input input) {
    check_stream(as_text(input));
    check_logprobs(as_text(input));
}

std::vector<std::string> serving_seeds() {
    return {"data: {\"choices\":[{\"text\":\" a\"}]}\n\ndata: {\"choices\":[{\"text\":\"\",\"finish_reason\":\"length\"}],\"usage\":{\"prompt_tokens\":3,\"completion_tokens\":1}}\n\ndata: [DONE]\n\n",
            "data: {\"choices\":[{\"delta\":{\"content\":\"Hi\"}}]}\r\n\r\n: ping\r\n\r\ndata: {\"error\":{\"message\":\"no\"}}\r\n\r\n",
            R"({"choices":[{"text":" on","prompt_logprobs":[null,{"20":{"logprob":-1.5}},{"30":{"logprob":-0.25}}]}],"usage":{"prompt_tokens":3,"completion_tokens":1}})",
            R"({"choices":[{"text":"The cat sat on","logprobs":{"tokens":["The"," cat"," sat"," on"],"token_logprobs":[null,-2,-3,-0.1]}}],"usage":{"prompt_tokens":3,"completion_tokens":1}})"};
}

}  // namespace tenpak::fuzz

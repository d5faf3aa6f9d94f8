// SPDX-License-Identifier: Apache-2.0
#include "core/model/generate.h"

#include <algorithm>
#include <chrono>

#include "core/model/text_stream.h"
#include "core/model/tokenizer_files.h"

namespace tenpak::model {
namespace {

constexpr std::size_t kPrefillTokens = 512;  // of a batch: the workspace grows with it

double seconds_since(std::chrono::steady_clock::time_point begin) { return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count(); }

/// All of the prompt; the logits of its last token.
Status prefill(Transformer& transformer, std::span<const Token> prompt, KvCache& cache, std::vector<float>& logits, const JobContext& ctx) {
    while (!prompt.empty()) {
        TENPAK_RETURN_IF_ERROR(ctx.check());
        const auto part = prompt.first(std::min(prompt.size(), kPrefillTokens));
        prompt = prompt.subspan(part.size());
        const SequenceChunk chunk{0, part};
        TENPAK_RETURN_IF_ERROR(transformer.forward({&chunk, 1}, cache, prompt.empty() ? LogitsOf::kLastOfChunk : LogitsOf::kNone, logits));
    }
    return {};
}

/// "eos_token_id": one id or a list.
std::vector<Token> ids_of(const Json& config) {
    std::vector<Token> ids;
    if (!config.is_object() || !config.contains("eos_token_id")) return ids;
    const Json& e = config.at("eos_token_id");
    const auto add = [&](const Json& id) {
        if (id.is_number_integer() && id.get<std::int64_t>() >= 0 && id.get<std::int64_t>() <= INT32_MAX) ids.push_back(static_cast<Token>(id.get<std::int64_t>()));
    };
    if (e.is_array()) std::for_each(e.begin(), e.end(), add);
    else add(e);
    return ids;
}

}  // namespace

Result<Generated> generate(Transformer& transformer, const Tokenizer& tokenizer, std::span<const Token> prompt, const GenerateOptions& options,
                           const std::function<void(const std::string&)>& on_text, const JobContext& ctx) {
    TENPAK_RETURN_IF_ERROR(check_sampling(options.sampling));
    const std::size_t context = transformer.config().max_positions;
    if (prompt.empty()) return make_error(ErrorCode::kInvalidArgument, "the prompt has no tokens");
    if (prompt.size() >= context) {
        return make_error(ErrorCode::kInvalidArgument, "the prompt has " + std::to_string(prompt.size()) + " tokens and leaves none of the model's context of " + std::to_string(context));
    }
    const auto capacity = static_cast<std::uint32_t>(std::min(context, prompt.size() + options.max_tokens));
    KvCache cache(transformer.config(), transformer.backend(), 1, capacity);
    TENPAK_RETURN_IF_ERROR(cache.allocated());
    Sampler sampler(options.sampling);
    TextStream stream(tokenizer);
    std::vector<Token> seen(prompt.begin(), prompt.end());
    std::vector<float> logits;
    Generated g;
    const auto show = [&](const std::string& text) {
        g.text += text;
        if (!text.empty() && on_text) on_text(text);
    };
    const auto begin = std::chrono::steady_clock::now();
    TENPAK_RETURN_IF_ERROR(prefill(transformer, prompt, cache, logits, ctx));
    while (true) {
        TENPAK_RETURN_IF_ERROR(ctx.check());
        if (g.tokens.size() >= options.max_tokens || seen.size() >= context) {
            g.finish_reason = "length";
            break;
        }
        TENPAK_ASSIGN(const Token next, sampler.next(logits, seen));
        if (g.tokens.empty()) g.first_token_seconds = seconds_since(begin);
        if (std::find(options.end_tokens.begin(), options.end_tokens.end(), next) != options.end_tokens.end()) {
            g.finish_reason = "stop";
            break;
        }
        g.tokens.push_back(next);
        seen.push_back(next);
        show(stream.add(next));
        if (g.tokens.size() >= options.max_tokens || seen.size() >= context) continue;
        const SequenceChunk chunk{0, {&seen.back(), 1}};
        TENPAK_RETURN_IF_ERROR(transformer.forward({&chunk, 1}, cache, LogitsOf::kLastOfChunk, logits));
    }
    show(stream.finish());
    g.seconds = seconds_since(begin);
    const double after_first = g.seconds - g.first_token_seconds;
    if (g.tokens.size() > 1 && after_first > 0) g.tokens_per_second = static_cast<double>(g.tokens.size() - 1) / after_first;
    return g;
}

Result<std::vector<Token>> end_tokens(const ModelSource& source, const Tokenizer& tokenizer) {
    const SideFiles files = side_files(source);
    for (const char* name : {"generation_config.json", "config.json"}) {
        TENPAK_ASSIGN(const Json config, side_json(files, name));
        auto ids = ids_of(config);
        if (!ids.empty()) return ids;
    }
    TENPAK_ASSIGN(const Json config, side_json(files, "tokenizer_config.json"));
    std::vector<Token> ids;
    if (config.is_object() && config.contains("eos_token")) {
        const Json& e = config.at("eos_token");
        const Json& text = e.is_object() && e.contains("content") ? e.at("content") : e;
        if (text.is_string()) {
            if (const auto id = tokenizer.token_id(text.get<std::string>())) ids.push_back(*id);
        }
    }
    return ids;
}

}  // namespace tenpak::model

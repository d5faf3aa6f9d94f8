// SPDX-License-Identifier: Apache-2.0
#include "core/quant/layouts/gguf_pre_tokenizer.h"

#include <algorithm>

namespace tenpak::quant {
namespace {

constexpr const char* kGpt2 = R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)";
constexpr const char* kLlama3 =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
constexpr const char* kQwen2 =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
constexpr const char* kTekken =
    R"([^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+)";

/// A rule: the patterns that cut one after the other. ByteLevel's own pattern is GPT-2's.
struct Rule {
    std::vector<const char*> names;     ///< the first is written
    std::vector<const char*> patterns;  ///< "\p{N}": every digit on its own
    bool ignore_merges = false, adds_bos = false, written = true;
};
const std::vector<Rule>& rules() {
    static const std::vector<Rule> all = {
        {{"gpt-2", "phi-2", "mpt", "olmo", "jais", "trillion", "granite-docling", "modern-bert", "gigachat", "a.x-4.0", "mellum", "exaone4", "roberta-bpe"}, {kGpt2}},
        {{"smollm", "starcoder", "refact", "command-r", "codeshell", "exaone", "minerva-7b"}, {R"(\p{N})", kGpt2}},
        {{"llama-bpe", "llama3", "llama-v3", "falcon3", "falcon-h1", "pixtral", "midm-2.0", "lfm2"}, {kLlama3}, true, true},
        {{"dbrx", "smaug-bpe", "chatglm-bpe"}, {kLlama3}},
        {{"glm4"}, {kLlama3}, true, false, false},  // llama-bpe, but for a default that is always written
        {{"qwen2", "stablelm2", "deepseek-r1-qwen", "megrez", "hunyuan"}, {kQwen2}},
        // llama.cpp's own form of this pattern differs from the model's outside of ASCII: read, but not written.
        {{"tekken"}, {kTekken}, true, true, false},
        {{"default"}, {R"([\p{P}\$\+<=>\^~\|]+)", kGpt2, R"(\p{N}+)", "[0-9][0-9][0-9]"}, false, false, false},
    };
    return all;
}

bool is_true(const Json& j, const char* key, bool fallback) { return j.contains(key) && j.at(key).is_boolean() ? j.at(key).get<bool>() : fallback; }

/// The patterns that a pre-tokenizer cuts by, if it is nothing but such cuts and ends in ByteLevel.
bool patterns_of(const Json& pre, std::vector<std::string>& patterns, int depth = 0) {
    if (!pre.is_object() || !pre.contains("type") || depth > 4) return false;
    const Json& type = pre.at("type");
    if (type == "Sequence") {
        if (!pre.contains("pretokenizers") || !pre.at("pretokenizers").is_array()) return false;
        for (const Json& p : pre.at("pretokenizers")) {
            if (!patterns_of(p, patterns, depth + 1)) return false;
        }
        return true;
    }
    if (!patterns.empty() && patterns.back().empty()) return false;  // ByteLevel is the last
    if (type == "ByteLevel") {
        if (is_true(pre, "add_prefix_space", true)) return false;
        if (is_true(pre, "use_regex", true)) patterns.emplace_back(kGpt2);
        patterns.emplace_back();
        return true;
    }
    if (type == "Digits") {
        patterns.emplace_back(is_true(pre, "individual_digits", false) ? R"(\p{N})" : R"(\p{N}+)");
        return true;
    }
    if (type != "Split" || !pre.contains("pattern") || !pre.at("pattern").is_object() || !pre.at("pattern").contains("Regex") || !pre.at("pattern").at("Regex").is_string()) return false;
    const Json behavior = pre.contains("behavior") ? pre.at("behavior") : Json();
    const bool inverted = is_true(pre, "invert", false);
    // These patterns match every character, so that removing what is between the matches removes nothing.
    if (!(behavior == "Isolated" && !inverted) && !(behavior == "Removed" && inverted)) return false;
    patterns.push_back(pre.at("pattern").at("Regex").get<std::string>());
    return true;
}

}  // namespace

Result<GgufPreTokenizer> recognize_pre_tokenizer(const Json& pre, bool ignore_merges, const std::string& where) {
    std::vector<std::string> patterns;
    if (patterns_of(pre, patterns) && !patterns.empty() && patterns.back().empty()) {
        patterns.pop_back();
        for (const Rule& r : rules()) {
            const bool same = r.patterns.size() == patterns.size() && std::equal(patterns.begin(), patterns.end(), r.patterns.begin(), [](const std::string& a, const char* b) { return a == b; });
            if (same && r.written && r.ignore_merges == ignore_merges) return GgufPreTokenizer{r.names.front(), r.ignore_merges, r.adds_bos};
        }
    }
    return make_error(ErrorCode::kUnsupported, "llama.cpp has no rule that cuts text into words as this tokenizer does, and would see other tokens", where,
                      "Known: the rules of GPT-2, SmolLM, Llama 3 and Qwen 2. Choose another layout");
}

Result<std::pair<GgufPreTokenizer, Json>> make_pre_tokenizer(std::string_view name, const std::string& where) {
    for (const Rule& r : rules()) {
        if (std::find(r.names.begin(), r.names.end(), name) == r.names.end()) continue;
        Json steps = Json::array();
        for (const char* pattern : r.patterns) {
            steps.push_back({{"type", "Split"}, {"pattern", {{"Regex", pattern}}}, {"behavior", "Isolated"}, {"invert", false}});
        }
        steps.push_back({{"type", "ByteLevel"}, {"add_prefix_space", false}, {"trim_offsets", true}, {"use_regex", false}});
        return std::pair{GgufPreTokenizer{std::string(name), r.ignore_merges, r.adds_bos}, Json{{"type", "Sequence"}, {"pretokenizers", std::move(steps)}}};
    }
    std::string known;
    for (const Rule& r : rules()) known += (known.empty() ? "" : ", ") + std::string(r.names.front());
    return make_error(ErrorCode::kUnsupported, "how \"" + std::string(name) + "\" cuts text into words is not known", where, "Known: " + known);
}

}  // namespace tenpak::quant

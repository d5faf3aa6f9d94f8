// SPDX-License-Identifier: Apache-2.0
#include "core/model/pre_tokenizer.h"

#include "core/model/byte_level.h"
#include "core/model/characters.h"

namespace tenpak::model {
namespace {

constexpr int kMaxDepth = 8;
// openai/gpt-2 encoder.py
const char* const kGpt2 = R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)";

Result<bool> flag(const Json& j, const char* key, bool fallback, const std::string& where) {
    if (!j.contains(key) || j.at(key).is_null()) return fallback;
    return json_get<bool>(j, key, where);
}

/// Writes every word anew: write(word, is_first, out), where is_first is true at the very beginning of the input.
template <class Write>
void rewrite(Words& w, const Write& write) {
    NormalizedText to;
    to.text.reserve(w.source.text.size() * 2);
    for (std::size_t i = 0; i < w.ranges.size(); ++i) {
        const std::size_t from = w.ranges[i].begin, begin = to.text.size();
        write(w[i], from < w.source.first, to.text);
        w.ranges[i] = {begin, to.text.size()};
        // Where the first character's bytes end within a word does not matter: no later step cuts inside of it.
        if (from < w.source.first) to.first = begin + 1;
    }
    w.source = std::move(to);
}

Result<std::string> one_character(const Json& d, const char* key, const std::string& where) {
    TENPAK_ASSIGN(auto text, json_get<std::string>(d, key, where));
    if (text.empty() || utf8_length(static_cast<unsigned char>(text[0])) != text.size()) return make_error(ErrorCode::kMalformed, std::string("\"") + key + "\" must be one character", where);
    return text;
}

Result<SplitPattern> regex_pattern(const std::string& regex, const std::string& where) {
    TENPAK_ASSIGN(auto r, Regex::compile(regex, where));
    return SplitPattern(std::move(r));
}

/// `\w+|[^\w\s]+` with Unicode's own \w: runs of word characters and runs of the rest are kept, white space is not.
Status split_words_and_symbols(Words& w) {
    std::vector<TextRange> out;
    const auto kind = [](char32_t c) { return is_word_character(c) ? 1 : is_white_space(c) ? 0 : 2; };
    for (std::size_t i = 0; i < w.ranges.size(); ++i) {
        int running = 0;
        const std::string_view text = w[i];
        for (std::size_t at = 0; at < text.size();) {
            const int k = kind(utf8_at(text, at));
            const std::size_t length = utf8_length(static_cast<unsigned char>(text[at])), begin = w.ranges[i].begin + at;
            if (k != 0 && k == running) out.back().end = begin + length;
            else if (k != 0) out.push_back({begin, begin + length});
            running = k;
            at += length;
        }
    }
    w.ranges = std::move(out);
    return {};
}

}  // namespace

void PreTokenizer::add_split(SplitPattern pattern, SplitBehavior behavior, bool inverted) {
    steps_.push_back([pattern = std::move(pattern), behavior, inverted](Words& w) -> Status {
        std::vector<TextRange> out;
        out.reserve(w.ranges.size());
        for (const TextRange& r : w.ranges) TENPAK_RETURN_IF_ERROR(split(w.source.text, r, pattern, behavior, inverted, out));
        w.ranges = std::move(out);
        return {};
    });
}

Status PreTokenizer::add_metaspace(const Json& d, const std::string& where) {
    TENPAK_ASSIGN(const auto replacement, one_character(d, "replacement", where));
    std::string scheme = "always";
    if (d.contains("prepend_scheme") && !d.at("prepend_scheme").is_null()) {
        TENPAK_ASSIGN(scheme, json_get<std::string>(d, "prepend_scheme", where));
    }
    if (scheme != "always" && scheme != "first" && scheme != "never") {
        return make_error(ErrorCode::kUnsupported, "prepend_scheme \"" + scheme + "\" is not known", where, "Known: always, first, never");
    }
    TENPAK_ASSIGN(const bool prefix, flag(d, "add_prefix_space", true, where));  // the older spelling of "never"
    if (!prefix && d.contains("prepend_scheme") && scheme != "never") return make_error(ErrorCode::kMalformed, "add_prefix_space contradicts prepend_scheme", where);
    if (!prefix) scheme = "never";
    TENPAK_ASSIGN(const bool cut, flag(d, "split", true, where));
    steps_.push_back([replacement, scheme](Words& w) -> Status {
        rewrite(w, [&](std::string_view word, bool first, std::string& out) {
            const bool has = word[0] == ' ' || word.starts_with(replacement);
            if (!has && (scheme == "always" || (scheme == "first" && first))) out += replacement;
            for (const char c : word) {
                if (c == ' ') out += replacement;
                else out += c;
            }
        });
        return {};
    });
    if (cut) add_split(SplitPattern(replacement), SplitBehavior::kMergedWithNext);
    return {};
}

Status PreTokenizer::add(const Json& d, const std::string& where, int depth) {
    if (depth > kMaxDepth) return make_error(ErrorCode::kMalformed, "pre-tokenizers nested too deep", where);
    if (steps_.size() > 256) return make_error(ErrorCode::kMalformed, "more than 256 pre-tokenizers", where);
    TENPAK_ASSIGN(const auto type, json_get<std::string>(d, "type", where));
    if (type == "Sequence") {
        TENPAK_ASSIGN(const Json list, json_get<Json>(d, "pretokenizers", where));
        if (!list.is_array()) return make_error(ErrorCode::kMalformed, "\"pretokenizers\" must be a list", where);
        for (const Json& p : list) TENPAK_RETURN_IF_ERROR(add(p, where, depth + 1));
    } else if (type == "ByteLevel") {
        TENPAK_ASSIGN(const bool prefix, flag(d, "add_prefix_space", true, where));
        TENPAK_ASSIGN(const bool use_regex, flag(d, "use_regex", true, where));
        if (prefix) {
            steps_.push_back([](Words& w) -> Status {
                rewrite(w, [](std::string_view word, bool, std::string& out) {
                    if (word[0] != ' ') out += ' ';
                    out += word;
                });
                return {};
            });
        }
        if (use_regex) {
            TENPAK_ASSIGN(auto pattern, regex_pattern(kGpt2, where));
            add_split(std::move(pattern), SplitBehavior::kIsolated);
        }
        steps_.push_back([](Words& w) -> Status {
            const auto& characters = byte_characters();
            rewrite(w, [&](std::string_view word, bool, std::string& out) {
                for (const char c : word) out += characters[static_cast<unsigned char>(c)];
            });
            return {};
        });
    } else if (type == "Split") {
        TENPAK_ASSIGN(const Json description, json_get<Json>(d, "pattern", where));
        TENPAK_ASSIGN(auto pattern, SplitPattern::parse(description, where));
        TENPAK_ASSIGN(const auto behavior, parse_split_behavior(d, "behavior", where));
        TENPAK_ASSIGN(const bool invert, flag(d, "invert", false, where));
        add_split(std::move(pattern), behavior, invert);
    } else if (type == "Digits") {
        TENPAK_ASSIGN(const bool individual, flag(d, "individual_digits", false, where));
        add_split(SplitPattern(is_numeric), individual ? SplitBehavior::kIsolated : SplitBehavior::kContiguous);
    } else if (type == "Punctuation") {
        SplitBehavior behavior = SplitBehavior::kIsolated;
        if (d.contains("behavior")) {
            TENPAK_ASSIGN(behavior, parse_split_behavior(d, "behavior", where));
        }
        add_split(SplitPattern(is_punctuation), behavior);
    } else if (type == "WhitespaceSplit") {
        add_split(SplitPattern(is_white_space), SplitBehavior::kRemoved);
    } else if (type == "Whitespace") {
        steps_.push_back(split_words_and_symbols);
    } else if (type == "BertPreTokenizer") {
        add_split(SplitPattern(is_white_space), SplitBehavior::kRemoved);
        add_split(SplitPattern(is_punctuation), SplitBehavior::kIsolated);
    } else if (type == "CharDelimiterSplit" || type == "Delimiter") {
        TENPAK_ASSIGN(auto delimiter, one_character(d, "delimiter", where));
        add_split(SplitPattern(std::move(delimiter)), SplitBehavior::kRemoved);
    } else if (type == "Metaspace") {
        return add_metaspace(d, where);
    } else {
        return make_error(ErrorCode::kUnsupported, "pre-tokenizer \"" + type + "\" is not known", where,
                          "Known: ByteLevel, Split, Digits, Punctuation, Whitespace, WhitespaceSplit, Metaspace, BertPreTokenizer, CharDelimiterSplit, Sequence");
    }
    return {};
}

Result<PreTokenizer> PreTokenizer::parse(const Json& description, const std::string& where) {
    PreTokenizer p;
    if (!description.is_null()) TENPAK_RETURN_IF_ERROR(p.add(description, where, 0));
    return p;
}

Result<Words> PreTokenizer::words(NormalizedText text) const {
    Words w{std::move(text), {}};
    if (!w.source.text.empty()) w.ranges.push_back({0, w.source.text.size()});
    for (const Step& step : steps_) TENPAK_RETURN_IF_ERROR(step(w));
    return w;
}

}  // namespace tenpak::model

// SPDX-License-Identifier: Apache-2.0
#include "core/model/pre_tokenizer.h"

#include "core/model/byte_level.h"
#include "core/model/regex.h"

namespace tenpak::model {
namespace {

constexpr int kMaxDepth = 8;
// openai/gpt-2 encoder.py
const char* const kGpt2 = R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)";

Error unsupported(const std::string& what, const std::string& where) {
    return make_error(ErrorCode::kUnsupported, what + " is not built yet", where, "Known: ByteLevel, Split, Digits and Sequences of them");
}

std::string escaped(const std::string& text) {
    std::string out;
    for (const char c : text) {
        if (std::string_view("\\^$.|?*+()[]{}-#").find(c) != std::string_view::npos) out += '\\';
        out += c;
    }
    return out;
}

Result<bool> flag(const Json& j, const char* key, bool fallback, const std::string& where) {
    if (!j.contains(key) || j.at(key).is_null()) return fallback;
    return json_get<bool>(j, key, where);
}

}  // namespace

struct PreTokenizer::Step {
    enum class Keep { kAll, kOthers, kMatches };
    std::unique_ptr<Regex> regex;  ///< null: no cut
    Keep keep = Keep::kAll;
    bool prefix_space = false;     ///< of ByteLevel, before its cut
};

PreTokenizer::PreTokenizer() = default;
PreTokenizer::~PreTokenizer() = default;

Status PreTokenizer::add(const Json& d, const std::string& where, int depth) {
    if (depth > kMaxDepth) return make_error(ErrorCode::kMalformed, "pre-tokenizers nested too deep", where);
    TENPAK_ASSIGN(const auto type, json_get<std::string>(d, "type", where));
    const auto add_regex = [&](const std::string& pattern, Step::Keep keep, bool prefix) -> Status {
        TENPAK_ASSIGN(auto regex, Regex::compile(pattern, where));
        Step step;
        step.regex = std::make_unique<Regex>(std::move(regex));
        step.keep = keep;
        step.prefix_space = prefix;
        steps_.push_back(std::move(step));
        return {};
    };
    if (type == "Sequence") {
        TENPAK_ASSIGN(const Json list, json_get<Json>(d, "pretokenizers", where));
        if (!list.is_array()) return make_error(ErrorCode::kMalformed, "\"pretokenizers\" must be a list", where);
        for (const Json& p : list) TENPAK_RETURN_IF_ERROR(add(p, where, depth + 1));
        return {};
    }
    if (type == "ByteLevel") {
        TENPAK_ASSIGN(const bool prefix, flag(d, "add_prefix_space", true, where));
        TENPAK_ASSIGN(const bool use_regex, flag(d, "use_regex", true, where));
        if (use_regex) return add_regex(kGpt2, Step::Keep::kAll, prefix);
        Step step;
        step.prefix_space = prefix;
        steps_.push_back(std::move(step));
        return {};
    }
    if (type == "Digits") {
        TENPAK_ASSIGN(const bool individual, flag(d, "individual_digits", false, where));
        return add_regex(individual ? "\\p{N}" : "\\p{N}+", Step::Keep::kAll, false);
    }
    if (type == "Split") {
        TENPAK_ASSIGN(const Json pattern, json_get<Json>(d, "pattern", where));
        TENPAK_ASSIGN(const auto behavior, json_get<std::string>(d, "behavior", where));
        TENPAK_ASSIGN(const bool invert, flag(d, "invert", false, where));
        if (behavior != "Isolated" && behavior != "Removed") return unsupported("Split behaviour \"" + behavior + "\"", where);
        const auto keep = behavior == "Isolated" ? Step::Keep::kAll : invert ? Step::Keep::kMatches : Step::Keep::kOthers;
        if (pattern.is_object() && pattern.contains("Regex")) {
            TENPAK_ASSIGN(const auto regex, json_get<std::string>(pattern, "Regex", where));
            return add_regex(regex, keep, false);
        }
        TENPAK_ASSIGN(const auto text, json_get<std::string>(pattern, "String", where));
        return add_regex(escaped(text), keep, false);
    }
    return unsupported("pre-tokenizer \"" + type + "\"", where);
}

Result<std::unique_ptr<PreTokenizer>> PreTokenizer::parse(const Json& description, const std::string& where) {
    std::unique_ptr<PreTokenizer> p(new PreTokenizer());
    if (description.is_null()) return unsupported("a tokenizer without pre-tokenizer (SentencePiece style)", where);
    TENPAK_RETURN_IF_ERROR(p->add(description, where, 0));
    const bool byte_level = description.dump().find("\"ByteLevel\"") != std::string::npos;
    if (!byte_level) return unsupported("a tokenizer without byte-level pre-tokenizer", where);
    return p;
}

Result<std::vector<std::string>> PreTokenizer::words(std::string_view text) const {
    std::vector<std::string> pieces;
    if (!text.empty()) pieces.emplace_back(text);
    for (const Step& step : steps_) {
        std::vector<std::string> next;
        for (std::string& piece : pieces) {
            if (step.prefix_space && piece.front() != ' ') piece.insert(piece.begin(), ' ');
            if (!step.regex) {
                next.push_back(std::move(piece));
                continue;
            }
            TENPAK_ASSIGN(const auto matches, step.regex->find_all(piece));
            std::size_t at = 0;
            const auto between = [&](std::size_t end) {
                if (end > at && step.keep != Step::Keep::kMatches) next.push_back(piece.substr(at, end - at));
            };
            for (const auto& m : matches) {
                between(m.begin);
                if (step.keep != Step::Keep::kOthers) next.push_back(piece.substr(m.begin, m.end - m.begin));
                at = m.end;
            }
            between(piece.size());
        }
        pieces = std::move(next);
    }
    const auto& characters = byte_characters();
    for (std::string& piece : pieces) {
        std::string spelled;
        spelled.reserve(piece.size() * 2);
        for (const char c : piece) spelled += characters[static_cast<unsigned char>(c)];
        piece = std::move(spelled);
    }
    return pieces;
}

}  // namespace tenpak::model

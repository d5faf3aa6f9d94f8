// SPDX-License-Identifier: Apache-2.0
#include "core/model/split_pattern.h"

#include <algorithm>

#include "core/model/byte_level.h"

namespace tenpak::model {

Result<SplitBehavior> parse_split_behavior(const Json& object, const char* key, const std::string& where) {
    TENPAK_ASSIGN(const auto name, json_get<std::string>(object, key, where));
    if (name == "Removed") return SplitBehavior::kRemoved;
    if (name == "Isolated") return SplitBehavior::kIsolated;
    if (name == "MergedWithPrevious") return SplitBehavior::kMergedWithPrevious;
    if (name == "MergedWithNext") return SplitBehavior::kMergedWithNext;
    if (name == "Contiguous") return SplitBehavior::kContiguous;
    return make_error(ErrorCode::kUnsupported, "split behavior \"" + name + "\" is not known", where, "Known: Removed, Isolated, MergedWithPrevious, MergedWithNext, Contiguous");
}

Result<SplitPattern> SplitPattern::parse(const Json& description, const std::string& where) {
    if (description.is_object() && description.contains("Regex")) {
        TENPAK_ASSIGN(const auto text, json_get<std::string>(description, "Regex", where));
        TENPAK_ASSIGN(auto regex, Regex::compile(text, where));
        return SplitPattern(std::move(regex));
    }
    TENPAK_ASSIGN(auto literal, json_get<std::string>(description, "String", where));
    if (literal.empty()) return make_error(ErrorCode::kUnsupported, "an empty string as a pattern is not supported", where);
    return SplitPattern(std::move(literal));
}

Status SplitPattern::find_all(std::string_view text, std::vector<Regex::Match>& out) const {
    if (regex_) return regex_->find_all(text, out);
    if (character_ == nullptr) {
        for (std::size_t at = text.find(literal_); at != std::string_view::npos; at = text.find(literal_, at + literal_.size())) out.push_back({at, at + literal_.size()});
        return {};
    }
    for (std::size_t at = 0; at < text.size();) {
        const std::size_t length = utf8_length(static_cast<unsigned char>(text[at]));
        if (character_(utf8_at(text, at))) out.push_back({at, at + length});
        at += length;
    }
    return {};
}

Status split(std::string_view whole, TextRange range, const SplitPattern& pattern, SplitBehavior behavior, bool inverted, std::vector<TextRange>& out) {
    const std::string_view text = whole.substr(range.begin, range.end - range.begin);
    if (text.empty()) return {};
    thread_local std::vector<Regex::Match> matches;
    struct Part {
        TextRange range;
        bool match;
    };
    thread_local std::vector<Part> parts;
    matches.clear();
    parts.clear();
    TENPAK_RETURN_IF_ERROR(pattern.find_all(text, matches));
    std::size_t at = 0;
    for (const auto& m : matches) {
        if (m.begin != at) parts.push_back({{at, m.begin}, inverted});
        parts.push_back({{m.begin, m.end}, !inverted});
        at = m.end;
    }
    if (at != text.size()) parts.push_back({{at, text.size()}, inverted});

    const auto add = [&](TextRange r) {
        if (r.end > r.begin) out.push_back({range.begin + r.begin, range.begin + r.end});
    };
    if (behavior == SplitBehavior::kRemoved || behavior == SplitBehavior::kIsolated) {
        for (const Part& p : parts) {
            if (!p.match || behavior == SplitBehavior::kIsolated) add(p.range);
        }
        return {};
    }
    // The rest join a part to its neighbour; from the right for MergedWithNext.
    const bool backward = behavior == SplitBehavior::kMergedWithNext;
    if (backward) std::reverse(parts.begin(), parts.end());
    bool previous = false;
    std::size_t joined = 0;  // parts[0, joined) are the result
    for (const Part& p : parts) {
        const bool join = joined > 0 && (behavior == SplitBehavior::kContiguous ? p.match == previous : p.match && !previous);
        previous = p.match;
        if (!join) parts[joined++] = p;
        else if (backward) parts[joined - 1].range.begin = p.range.begin;
        else parts[joined - 1].range.end = p.range.end;
    }
    parts.resize(joined);
    if (backward) std::reverse(parts.begin(), parts.end());
    for (const Part& p : parts) add(p.range);
    return {};
}

}  // namespace tenpak::model

// SPDX-License-Identifier: Apache-2.0
#include "core/model/added_tokens.h"

#include <algorithm>

#include "core/model/byte_level.h"
#include "core/model/characters.h"

namespace tenpak::model {
namespace {

std::size_t previous(std::string_view s, std::size_t at) {
    do --at;
    while (at > 0 && (static_cast<unsigned char>(s[at]) & 0xc0u) == 0x80u);
    return at;
}
}  // namespace

Result<std::vector<AddedToken>> parse_added_tokens(const Json& list, const SubwordModel& model, const std::string& where) {
    std::vector<AddedToken> tokens;
    if (list.is_null()) return tokens;
    if (!list.is_array()) return make_error(ErrorCode::kMalformed, "\"added_tokens\" must be a list", where);
    std::unordered_map<std::string, std::size_t> seen;
    Token next = static_cast<Token>(std::min<std::size_t>(model.size(), INT32_MAX / 2));
    for (const Json& j : list) {
        AddedToken t;
        TENPAK_ASSIGN(t.content, json_get<std::string>(j, "content", where));
        if (t.content.empty()) continue;
        struct Flag {
            const char* key;
            bool AddedToken::*member;
        };
        for (const Flag& f : {Flag{"single_word", &AddedToken::single_word}, Flag{"lstrip", &AddedToken::strip_left}, Flag{"rstrip", &AddedToken::strip_right},
                              Flag{"normalized", &AddedToken::normalized}, Flag{"special", &AddedToken::special}}) {
            if (!j.contains(f.key)) continue;
            TENPAK_ASSIGN(t.*f.member, json_get<bool>(j, f.key, where));
        }
        const auto again = seen.find(t.content);
        if (again != seen.end()) {  // the last of equal texts counts
            t.id = tokens[again->second].id;
            tokens[again->second] = std::move(t);
            continue;
        }
        const auto known = model.vocabulary().find(t.content);
        t.id = known != model.vocabulary().end() ? known->second : next++;
        seen.emplace(t.content, tokens.size());
        tokens.push_back(std::move(t));
    }
    return tokens;
}

TokenFinder::TokenFinder(std::vector<AddedToken> tokens) : tokens_(std::move(tokens)) {
    for (std::uint32_t i = 0; i < tokens_.size(); ++i) {
        const std::string& content = tokens_[i].content;
        if (!by_content_.emplace(content, i).second) continue;
        auto& lengths = lengths_[static_cast<unsigned char>(content[0])];
        const auto at = std::lower_bound(lengths.begin(), lengths.end(), content.size(), std::greater<>());
        if (at == lengths.end() || *at != content.size()) lengths.insert(at, content.size());
    }
}

const AddedToken* TokenFinder::match(std::string_view text, std::size_t at) const {
    for (const std::size_t length : lengths_[static_cast<unsigned char>(text[at])]) {
        if (length > text.size() - at) continue;
        const auto it = by_content_.find(text.substr(at, length));
        if (it != by_content_.end()) return &tokens_[it->second];
    }
    return nullptr;
}

std::vector<TokenFinder::Piece> TokenFinder::split(std::string_view text) const {
    std::vector<Piece> pieces;
    std::size_t done = 0;
    for (std::size_t at = 0; at < text.size();) {
        const AddedToken* t = match(text, at);
        if (t == nullptr) {
            ++at;
            continue;
        }
        std::size_t begin = at, end = at + t->content.size();
        at = end;
        if (t->single_word) {
            const bool open_left = begin == 0 || !is_word_character(utf8_at(text, previous(text, begin)));
            const bool open_right = end == text.size() || !is_word_character(utf8_at(text, end));
            if (!open_left || !open_right) continue;
        }
        if (t->strip_left) {
            while (begin > done && is_white_space(utf8_at(text, previous(text, begin)))) begin = previous(text, begin);
        }
        // White space taken on the right may hold another added token: it counts all the same, as in the reference.
        if (t->strip_right) {
            while (end < text.size() && is_white_space(utf8_at(text, end))) end += utf8_length(static_cast<unsigned char>(text[end]));
        }
        if (begin > done) pieces.push_back({done, begin, -1});
        pieces.push_back({begin, end, t->id});
        done = end;
    }
    if (done < text.size()) pieces.push_back({done, text.size(), -1});
    return pieces;
}

}  // namespace tenpak::model

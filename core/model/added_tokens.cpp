// SPDX-License-Identifier: Apache-2.0
#include "core/model/added_tokens.h"

#include <unicode/uchar.h>

#include <algorithm>

#include "core/model/byte_level.h"

namespace tenpak::model {
namespace {

std::size_t previous(std::string_view s, std::size_t at) {
    do --at;
    while (at > 0 && (static_cast<unsigned char>(s[at]) & 0xc0u) == 0x80u);
    return at;
}
bool is_space(char32_t c) { return u_hasBinaryProperty(static_cast<UChar32>(c), UCHAR_WHITE_SPACE) != 0; }
/// \w of Unicode TS 18: letters, marks, decimal digits, connectors, joiners.
bool is_word(char32_t c) {
    const auto p = static_cast<UChar32>(c);
    const auto mask = U_GET_GC_MASK(p);
    return u_hasBinaryProperty(p, UCHAR_ALPHABETIC) != 0 || (mask & (U_GC_M_MASK | U_GC_ND_MASK | U_GC_PC_MASK)) != 0 || u_hasBinaryProperty(p, UCHAR_JOIN_CONTROL) != 0;
}

}  // namespace

Result<std::vector<AddedToken>> parse_added_tokens(const Json& list, const std::string& where) {
    std::vector<AddedToken> tokens;
    if (list.is_null()) return tokens;
    if (!list.is_array()) return make_error(ErrorCode::kMalformed, "\"added_tokens\" must be a list", where);
    for (const Json& j : list) {
        AddedToken t;
        TENPAK_ASSIGN(const auto id, json_get<std::uint64_t>(j, "id", where));
        if (id > INT32_MAX) return make_error(ErrorCode::kMalformed, "the id of an added token is out of range", where);
        t.id = static_cast<Token>(id);
        TENPAK_ASSIGN(t.content, json_get<std::string>(j, "content", where));
        if (t.content.empty()) return make_error(ErrorCode::kMalformed, "an added token without text", where);
        struct Flag {
            const char* key;
            bool AddedToken::*member;
        };
        for (const Flag& f : {Flag{"single_word", &AddedToken::single_word}, Flag{"lstrip", &AddedToken::strip_left}, Flag{"rstrip", &AddedToken::strip_right},
                              Flag{"normalized", &AddedToken::normalized}, Flag{"special", &AddedToken::special}}) {
            if (!j.contains(f.key)) continue;
            TENPAK_ASSIGN(t.*f.member, json_get<bool>(j, f.key, where));
        }
        tokens.push_back(std::move(t));
    }
    return tokens;
}

TokenFinder::TokenFinder(std::vector<AddedToken> tokens) : tokens_(std::move(tokens)) {
    for (std::uint32_t i = 0; i < tokens_.size(); ++i) by_first_byte_[static_cast<unsigned char>(tokens_[i].content[0])].push_back(i);
    for (auto& list : by_first_byte_) {
        std::stable_sort(list.begin(), list.end(), [&](auto a, auto b) { return tokens_[a].content.size() > tokens_[b].content.size(); });
    }
}

const AddedToken* TokenFinder::match(std::string_view text, std::size_t at) const {
    for (const std::uint32_t i : by_first_byte_[static_cast<unsigned char>(text[at])]) {
        if (text.substr(at).starts_with(tokens_[i].content)) return &tokens_[i];
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
            const bool open_left = begin == 0 || !is_word(utf8_at(text, previous(text, begin)));
            const bool open_right = end == text.size() || !is_word(utf8_at(text, end));
            if (!open_left || !open_right) continue;
        }
        if (t->strip_left) {
            while (begin > done && is_space(utf8_at(text, previous(text, begin)))) begin = previous(text, begin);
        }
        if (t->strip_right) {
            while (end < text.size() && is_space(utf8_at(text, end))) end += utf8_length(static_cast<unsigned char>(text[end]));
            at = end;
        }
        if (begin > done) pieces.push_back({text.substr(done, begin - done), -1});
        pieces.push_back({text.substr(begin, end - begin), t->id});
        done = end;
    }
    if (done < text.size()) pieces.push_back({text.substr(done), -1});
    return pieces;
}

}  // namespace tenpak::model

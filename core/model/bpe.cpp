// SPDX-License-Identifier: Apache-2.0
#include "core/model/bpe.h"

#include <algorithm>
#include <queue>

#include "core/model/byte_level.h"

namespace tenpak::model {
namespace {

constexpr std::size_t kCutFrom = 32;  // bytes: a shorter word is not worth the search for seams

bool absent(const Json& j, const char* key) { return !j.contains(key) || j.at(key).is_null(); }

Result<bool> flag(const Json& j, const char* key, const std::string& where) {
    if (absent(j, key)) return false;
    return json_get<bool>(j, key, where);
}
Result<std::string> text_option(const Json& j, const char* key, const std::string& where) {
    if (absent(j, key)) return std::string();
    return json_get<std::string>(j, key, where);
}

}  // namespace

Result<std::unique_ptr<Bpe>> Bpe::parse(const Json& model, const std::string& where) {
    auto b = std::make_unique<Bpe>();
    if (!model.is_object() || absent(model, "vocab") || absent(model, "merges")) return make_error(ErrorCode::kMalformed, "a BPE model needs \"vocab\" and \"merges\"", where);
    TENPAK_RETURN_IF_ERROR(b->parse_vocabulary(model.at("vocab"), where));
    TENPAK_ASSIGN(b->prefix_, text_option(model, "continuing_subword_prefix", where));
    TENPAK_ASSIGN(b->suffix_, text_option(model, "end_of_word_suffix", where));
    TENPAK_ASSIGN(b->byte_fallback_, flag(model, "byte_fallback", where));
    TENPAK_ASSIGN(b->fuse_unknown_, flag(model, "fuse_unk", where));
    TENPAK_ASSIGN(b->ignore_merges_, flag(model, "ignore_merges", where));
    // "dropout" makes the tokens of training random; for measuring it is left out, as the reference does with dropout 0.
    if (!absent(model, "unk_token")) {
        TENPAK_ASSIGN(b->unknown_text_, json_get<std::string>(model, "unk_token", where));
        b->has_unknown_ = true;
        const auto it = b->vocabulary_.find(b->unknown_text_);
        if (it != b->vocabulary_.end()) b->unknown_ = it->second;
    }
    TENPAK_RETURN_IF_ERROR(b->parse_merges(model.at("merges"), where));
    return b;
}

Status Bpe::parse_vocabulary(const Json& vocab, const std::string& where) {
    if (!vocab.is_object()) return make_error(ErrorCode::kMalformed, "\"vocab\" must be an object", where);
    vocabulary_.reserve(vocab.size());
    low_characters_.fill(-1);
    bytes_.fill(-1);
    for (const auto& [token, id] : vocab.items()) {
        if (!id.is_number_unsigned() || id.get<std::uint64_t>() > INT32_MAX) return make_error(ErrorCode::kMalformed, "the id of a token must be a non-negative 32-bit integer", where);
        const auto t = id.get<Token>();
        vocabulary_.emplace(token, t);
        if (token.empty() || utf8_length(static_cast<unsigned char>(token[0])) != token.size()) continue;
        const char32_t c = utf8_at(token, 0);
        if (c < low_characters_.size()) low_characters_[c] = t;
        else characters_[c] = t;
    }
    all_bytes_ = true;
    for (unsigned byte = 0; byte < 256; ++byte) {
        const auto it = vocabulary_.find(byte_token(static_cast<unsigned char>(byte)));
        if (it != vocabulary_.end()) bytes_[byte] = it->second;
        else all_bytes_ = false;
    }
    return {};
}

Status Bpe::parse_merges(const Json& merges, const std::string& where) {
    if (!merges.is_array()) return make_error(ErrorCode::kMalformed, "\"merges\" must be a list", where);
    merges_.reserve(merges.size());
    std::vector<std::pair<std::string_view, std::string_view>> merged;
    merged.reserve(merges.size());
    std::uint32_t rank = 0;
    std::string result;
    for (const Json& m : merges) {
        std::string_view left, right;
        const auto not_a_pair = [&] { return make_error(ErrorCode::kMalformed, "merge " + std::to_string(rank) + " is not a pair", where); };
        if (m.is_string()) {
            const std::string_view text = m.get_ref<const std::string&>();
            if (text.starts_with("#version")) continue;  // the first line of a merges.txt
            const auto space = text.find(' ');
            if (space == std::string::npos || text.find(' ', space + 1) != std::string::npos) return not_a_pair();
            left = text.substr(0, space);
            right = text.substr(space + 1);
        } else if (m.is_array() && m.size() == 2 && m[0].is_string() && m[1].is_string()) {
            left = m[0].get_ref<const std::string&>();
            right = m[1].get_ref<const std::string&>();
        } else {
            return not_a_pair();
        }
        if (right.size() < prefix_.size()) return not_a_pair();
        result.assign(left);
        result += right.substr(prefix_.size());
        const auto a = vocabulary_.find(left), b = vocabulary_.find(right), both = vocabulary_.find(result);
        if (a == vocabulary_.end() || b == vocabulary_.end() || both == vocabulary_.end()) {
            return make_error(ErrorCode::kMalformed, "merge " + std::to_string(rank) + " makes or takes a token that is not in the vocabulary", where);
        }
        merges_[pair_key(static_cast<std::uint32_t>(a->second), static_cast<std::uint32_t>(b->second))] = {rank++, both->second};
        merged.emplace_back(a->first, b->first);
    }
    find_seams(merged);
    return {};
}

void Bpe::find_seams(const std::vector<std::pair<std::string_view, std::string_view>>& merged) {
    if (!prefix_.empty() || !suffix_.empty() || (byte_fallback_ && !all_bytes_)) return;
    // A token's text must be the text it stands for: not so for those of bytes and of the unknown.
    const auto stands_for_other = [&](std::string_view t) {
        return (has_unknown_ && t == unknown_text_) || (byte_fallback_ && t.size() == 6 && t.starts_with("<0x") && t.back() == '>');
    };
    for (const auto& [a, b] : merged) {
        if (stands_for_other(a) || stands_for_other(b)) return;
    }
    for (const auto& [a, b] : merged) {
        // What lies within a or b was made by another merge, or is one character.
        if (a.empty() || b.empty()) continue;  // never a symbol
        std::size_t last = a.size();
        do --last;
        while (last > 0 && (static_cast<unsigned char>(a[last]) & 0xc0u) == 0x80u);
        const char32_t left = utf8_at(a, last), right = utf8_at(b, 0);
        if (left < 128 && right < 128) ascii_neighbours_[left][right] = true;
        else neighbours_[pair_key(left, right)] = 1;
    }
    seams_known_ = true;
}

Token Bpe::character_token(char32_t c) const {
    if (c < low_characters_.size()) return low_characters_[c];
    const Token* t = characters_.find(c);
    return t == nullptr ? -1 : *t;
}

bool Bpe::may_cut(char32_t left, char32_t right) const {
    if (left < 128 && right < 128 ? ascii_neighbours_[left][right] : neighbours_.find(pair_key(left, right)) != nullptr) return false;
    // Unknown characters are fused with, or dropped between, their neighbours.
    return (byte_fallback_ && all_bytes_) || (character_token(left) >= 0 && character_token(right) >= 0);
}

Status Bpe::encode(std::string_view word, WordMemo& memo, std::vector<Token>& out) const {
    if (word.empty()) return {};
    if (ignore_merges_) {
        const auto it = vocabulary_.find(word);
        if (it != vocabulary_.end()) {
            out.push_back(it->second);
            return {};
        }
    }
    if (!seams_known_ || word.size() < kCutFrom) return encode_part(word, memo, out);
    std::size_t begin = 0;
    char32_t left = utf8_at(word, 0);
    for (std::size_t at = utf8_length(static_cast<unsigned char>(word[0])); at < word.size();) {
        const char32_t right = utf8_at(word, at);
        if (may_cut(left, right)) {
            TENPAK_RETURN_IF_ERROR(encode_part(word.substr(begin, at - begin), memo, out));
            begin = at;
        }
        left = right;
        at += utf8_length(static_cast<unsigned char>(word[at]));
    }
    return encode_part(word.substr(begin), memo, out);
}

Status Bpe::encode_part(std::string_view part, WordMemo& memo, std::vector<Token>& out) const {
    if (const auto* known = memo.find(part)) {
        out.insert(out.end(), known->begin(), known->end());
        return {};
    }
    std::vector<Symbol> symbols;
    TENPAK_RETURN_IF_ERROR(symbols_of(part, symbols));
    const std::size_t before = out.size();
    if (!symbols.empty()) {
        merge_all(symbols);
        for (std::uint32_t i = 0; i != kNone; i = symbols[i].next) out.push_back(symbols[i].id);
    }
    memo.keep(part, {out.begin() + static_cast<std::ptrdiff_t>(before), out.end()});
    return {};
}

Status Bpe::symbols_of(std::string_view part, std::vector<Symbol>& symbols) const {
    if (part.size() >= kNone) return make_error(ErrorCode::kMalformed, "a word is longer than 4 GiB");
    symbols.reserve(part.size());
    const auto add = [&](Token id) {
        const auto at = static_cast<std::uint32_t>(symbols.size());
        symbols.push_back({id, at == 0 ? kNone : at - 1, at + 1, true});
    };
    bool pending = false;  // an unknown character that may be fused with the next
    std::string spelled;
    for (std::size_t at = 0; at < part.size();) {
        const std::size_t length = utf8_length(static_cast<unsigned char>(part[at]));
        std::string_view text = part.substr(at, length);
        Token id;
        if (prefix_.empty() && suffix_.empty()) {
            id = character_token(utf8_at(part, at));
        } else {
            spelled.clear();
            if (at != 0) spelled += prefix_;
            spelled += text;
            if (at + length == part.size()) spelled += suffix_;
            text = spelled;
            const auto it = vocabulary_.find(text);
            id = it == vocabulary_.end() ? -1 : it->second;
        }
        at += length;
        if (id >= 0) {
            if (pending) add(unknown_);
            pending = false;
            add(id);
            continue;
        }
        if (byte_fallback_ && std::all_of(text.begin(), text.end(), [&](char c) { return bytes_[static_cast<unsigned char>(c)] >= 0; })) {
            for (const char c : text) add(bytes_[static_cast<unsigned char>(c)]);
            continue;
        }
        // A character without token is dropped where the model has no token for the unknown, as the reference does.
        if (!has_unknown_) continue;
        if (unknown_ < 0) return make_error(ErrorCode::kMalformed, "the tokenizer's unk_token \"" + unknown_text_ + "\" is not in its vocabulary");
        if (pending && !fuse_unknown_) add(unknown_);
        pending = true;
    }
    if (pending) add(unknown_);
    if (!symbols.empty()) symbols.back().next = kNone;
    return {};
}

void Bpe::merge_all(std::vector<Symbol>& symbols) const {
    struct Candidate {
        std::uint32_t rank, position;
        Token result;
        bool operator<(const Candidate& o) const { return rank != o.rank ? rank > o.rank : position > o.position; }
    };
    const auto merge_of = [&](Token a, Token b) { return merges_.find(pair_key(static_cast<std::uint32_t>(a), static_cast<std::uint32_t>(b))); };
    std::vector<Candidate> first;
    for (std::uint32_t i = 0; i + 1 < symbols.size(); ++i) {
        if (const Merge* m = merge_of(symbols[i].id, symbols[i + 1].id)) first.push_back({m->rank, i, m->result});
    }
    std::priority_queue<Candidate> queue(std::less<Candidate>(), std::move(first));
    const auto consider = [&](std::uint32_t at) {
        if (at == kNone || symbols[at].next == kNone) return;
        if (const Merge* m = merge_of(symbols[at].id, symbols[symbols[at].next].id)) queue.push({m->rank, at, m->result});
    };
    while (!queue.empty()) {
        const Candidate c = queue.top();
        queue.pop();
        Symbol& s = symbols[c.position];
        if (!s.alive || s.next == kNone) continue;
        Symbol& right = symbols[s.next];
        const Merge* m = merge_of(s.id, right.id);
        if (m == nullptr || m->result != c.result) continue;  // one of the two was merged meanwhile
        s.id = c.result;
        right.alive = false;
        s.next = right.next;
        if (s.next != kNone) symbols[s.next].previous = c.position;
        consider(s.previous);
        consider(c.position);
    }
}

}  // namespace tenpak::model

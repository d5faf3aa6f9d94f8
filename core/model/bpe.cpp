// SPDX-License-Identifier: Apache-2.0
#include "core/model/bpe.h"

#include <queue>

#include "core/model/byte_level.h"

namespace tenpak::model {
namespace {

bool absent(const Json& j, const char* key) { return !j.contains(key) || j.at(key).is_null(); }

Error unsupported(const std::string& what, const std::string& where) {
    return make_error(ErrorCode::kUnsupported, what, where, "Known: byte-level BPE (GPT-2, Llama 3, Qwen2, SmolLM)");
}

Result<bool> flag(const Json& j, const char* key, const std::string& where) {
    if (absent(j, key)) return false;
    return json_get<bool>(j, key, where);
}

}  // namespace

Result<Bpe> Bpe::parse(const Json& model, const std::string& where) {
    Bpe b;
    // Files of early versions of the library have no "type" in a BPE model.
    std::string type = "BPE";
    if (model.is_object() && !absent(model, "type")) {
        TENPAK_ASSIGN(type, json_get<std::string>(model, "type", where));
    }
    if (type != "BPE") return unsupported("tokenizer model \"" + type + "\" is not built yet", where);
    TENPAK_ASSIGN(const Json vocab, json_get<Json>(model, "vocab", where));
    if (!vocab.is_object()) return make_error(ErrorCode::kMalformed, "\"vocab\" must be an object", where);
    for (const auto& [token, id] : vocab.items()) {
        if (!id.is_number_unsigned() || id.get<std::uint64_t>() > INT32_MAX) return make_error(ErrorCode::kMalformed, "the id of a token must be a non-negative 32-bit integer", where);
        b.vocabulary_.emplace(token, id.get<Token>());
    }
    for (const char* key : {"continuing_subword_prefix", "end_of_word_suffix"}) {
        if (absent(model, key)) continue;
        TENPAK_ASSIGN(const auto text, json_get<std::string>(model, key, where));
        if (!text.empty()) return unsupported(std::string("BPE option \"") + key + "\" is not built yet", where);
    }
    if (!absent(model, "dropout")) {
        TENPAK_ASSIGN(const auto dropout, json_get<double>(model, "dropout", where));
        if (dropout != 0) return unsupported("BPE option \"dropout\" makes tokens random and is not supported", where);
    }
    TENPAK_ASSIGN(const bool fallback, flag(model, "byte_fallback", where));
    if (fallback) return unsupported("BPE option \"byte_fallback\" (SentencePiece style) is not built yet", where);
    TENPAK_ASSIGN(b.fuse_unknown_, flag(model, "fuse_unk", where));
    TENPAK_ASSIGN(b.ignore_merges_, flag(model, "ignore_merges", where));
    if (!absent(model, "unk_token")) {
        TENPAK_ASSIGN(const auto unknown, json_get<std::string>(model, "unk_token", where));
        const auto it = b.vocabulary_.find(unknown);
        if (it != b.vocabulary_.end()) b.unknown_ = it->second;
    }
    TENPAK_ASSIGN(const Json merges, json_get<Json>(model, "merges", where));
    TENPAK_RETURN_IF_ERROR(b.parse_merges(merges, where));
    return b;
}

Status Bpe::parse_merges(const Json& merges, const std::string& where) {
    if (!merges.is_array()) return make_error(ErrorCode::kMalformed, "\"merges\" must be a list", where);
    merges_.reserve(merges.size());
    std::uint32_t rank = 0;
    for (const Json& m : merges) {
        std::string left, right;
        if (m.is_string()) {
            const auto text = m.get<std::string>();
            const auto space = text.find(' ');
            if (space == std::string::npos || text.find(' ', space + 1) != std::string::npos) return make_error(ErrorCode::kMalformed, "merge " + std::to_string(rank) + " is not a pair", where);
            left = text.substr(0, space);
            right = text.substr(space + 1);
        } else if (m.is_array() && m.size() == 2 && m[0].is_string() && m[1].is_string()) {
            left = m[0].get<std::string>();
            right = m[1].get<std::string>();
        } else {
            return make_error(ErrorCode::kMalformed, "merge " + std::to_string(rank) + " is not a pair", where);
        }
        const auto a = vocabulary_.find(left), b = vocabulary_.find(right), both = vocabulary_.find(left + right);
        if (a == vocabulary_.end() || b == vocabulary_.end() || both == vocabulary_.end()) {
            return make_error(ErrorCode::kMalformed, "merge " + std::to_string(rank) + " makes or takes a token that is not in the vocabulary", where);
        }
        merges_[key(a->second, b->second)] = {rank++, both->second};
    }
    return {};
}

const Bpe::Merge* Bpe::merge_of(Token a, Token b) const {
    const auto it = merges_.find(key(a, b));
    return it == merges_.end() ? nullptr : &it->second;
}

void Bpe::encode(std::string_view word, std::vector<Token>& out) const {
    if (word.empty()) return;
    if (ignore_merges_) {
        const auto it = vocabulary_.find(std::string(word));
        if (it != vocabulary_.end()) {
            out.push_back(it->second);
            return;
        }
    }
    struct Symbol {
        Token id;
        int previous, next;
        bool alive;
    };
    struct Candidate {
        std::uint32_t rank;
        int position;
        Token result;
        bool operator<(const Candidate& o) const { return rank != o.rank ? rank > o.rank : position > o.position; }
    };
    std::vector<Symbol> symbols;
    std::string character;
    bool last_unknown = false;
    for (std::size_t i = 0; i < word.size();) {
        const std::size_t length = std::min(utf8_length(static_cast<unsigned char>(word[i])), word.size() - i);
        character.assign(word, i, length);
        i += length;
        const auto it = vocabulary_.find(character);
        const bool unknown = it == vocabulary_.end();
        // A character without token is dropped where the model has no token for the unknown, as the reference does.
        if (unknown && (unknown_ < 0 || (fuse_unknown_ && last_unknown))) continue;
        last_unknown = unknown;
        const int at = static_cast<int>(symbols.size());
        symbols.push_back({unknown ? unknown_ : it->second, at - 1, at + 1, true});
    }
    if (symbols.empty()) return;
    symbols.back().next = -1;
    std::priority_queue<Candidate> queue;
    const auto consider = [&](int at) {
        if (at < 0 || symbols[static_cast<std::size_t>(at)].next < 0) return;
        const Symbol& s = symbols[static_cast<std::size_t>(at)];
        if (const Merge* m = merge_of(s.id, symbols[static_cast<std::size_t>(s.next)].id)) queue.push({m->rank, at, m->result});
    };
    for (int i = 0; i + 1 < static_cast<int>(symbols.size()); ++i) consider(i);
    while (!queue.empty()) {
        const Candidate c = queue.top();
        queue.pop();
        Symbol& s = symbols[static_cast<std::size_t>(c.position)];
        if (!s.alive || s.next < 0) continue;
        Symbol& right = symbols[static_cast<std::size_t>(s.next)];
        const Merge* m = merge_of(s.id, right.id);
        if (m == nullptr || m->result != c.result) continue;  // one of the two was merged meanwhile
        s.id = c.result;
        right.alive = false;
        s.next = right.next;
        if (s.next >= 0) symbols[static_cast<std::size_t>(s.next)].previous = c.position;
        consider(s.previous);
        consider(c.position);
    }
    for (int i = 0; i >= 0; i = symbols[static_cast<std::size_t>(i)].next) out.push_back(symbols[static_cast<std::size_t>(i)].id);
}

}  // namespace tenpak::model

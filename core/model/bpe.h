// SPDX-License-Identifier: Apache-2.0
// Byte-pair encoding of one word: the pair with the lowest rank is merged first, the leftmost of equals.
#pragma once
#include <array>
#include <cstdint>
#include <string>
#include <string_view>

#include "core/model/flat_map.h"
#include "core/model/subword_model.h"

namespace tenpak::model {

class Bpe final : public SubwordModel {
   public:
    static Result<std::unique_ptr<Bpe>> parse(const Json& model, const std::string& where);
    Status encode(std::string_view word, WordMemo& memo, std::vector<Token>& out) const override;
    const Vocabulary& vocabulary() const override { return vocabulary_; }
    std::size_t size() const override { return vocabulary_.size(); }

   private:
    struct Merge {
        std::uint32_t rank;
        Token result;
    };
    struct Symbol {
        Token id;
        std::uint32_t previous, next;  // kNone at the ends
        bool alive;
    };
    static constexpr std::uint32_t kNone = UINT32_MAX;
    static std::uint64_t pair_key(std::uint32_t a, std::uint32_t b) { return std::uint64_t{a} << 32 | b; }

    Status parse_vocabulary(const Json& vocab, const std::string& where);
    Status parse_merges(const Json& merges, const std::string& where);
    void find_seams(const std::vector<std::pair<std::string_view, std::string_view>>& merged);
    bool may_cut(char32_t left, char32_t right) const;
    Token character_token(char32_t c) const;
    Status encode_part(std::string_view part, WordMemo& memo, std::vector<Token>& out) const;
    Status symbols_of(std::string_view part, std::vector<Symbol>& symbols) const;
    void merge_all(std::vector<Symbol>& symbols) const;

    Vocabulary vocabulary_;
    FlatMap<Merge> merges_;
    std::array<Token, 0x180> low_characters_;  ///< by code point; -1: none
    FlatMap<Token> characters_;                ///< the others
    std::array<Token, 256> bytes_;             ///< <0x..>; -1: none
    std::string prefix_, suffix_;              ///< continuing_subword_prefix, end_of_word_suffix
    std::string unknown_text_;
    Token unknown_ = -1;
    bool has_unknown_ = false, fuse_unknown_ = false, ignore_merges_ = false, byte_fallback_ = false, all_bytes_ = false;
    // Two characters that are neighbours in no token that merging makes: a word can be cut between them, and its parts
    // encoded apart. It is what makes a vocabulary fast that does not cut at spaces (SentencePiece).
    bool seams_known_ = false;
    FlatMap<char> neighbours_;
    std::array<std::array<bool, 128>, 128> ascii_neighbours_{};
};

}  // namespace tenpak::model

// SPDX-License-Identifier: Apache-2.0
// Unigram language model over subwords: the segmentation of a word with the highest sum of scores (Viterbi; Kudo 2018).
#pragma once
#include "core/model/flat_map.h"
#include "core/model/subword_model.h"

namespace tenpak::model {

class Unigram final : public SubwordModel {
   public:
    static Result<std::unique_ptr<Unigram>> parse(const Json& model, const std::string& where);
    Status encode(std::string_view word, WordMemo& memo, std::vector<Token>& out) const override;
    const Vocabulary& vocabulary() const override { return vocabulary_; }
    std::size_t size() const override { return scores_.size(); }

   private:
    Status add_to_trie(std::string_view text, Token id, const std::string& where);
    Status segment(std::string_view word, std::vector<std::pair<std::size_t, std::size_t>>& parts) const;
    Status append_ids(std::string_view text, std::vector<Token>& out) const;

    Vocabulary vocabulary_;
    std::vector<double> scores_;
    FlatMap<std::uint32_t> edges_;  ///< node << 8 | byte: node
    std::vector<Token> ends_;       ///< by node; -1: no token ends there
    double unknown_score_ = 0;
    Token unknown_ = -1;
    bool byte_fallback_ = false;
};

}  // namespace tenpak::model

// SPDX-License-Identifier: Apache-2.0
// Byte-pair encoding of one word: the pair with the lowest rank is merged first, the leftmost of equals.
#pragma once
#include <cstdint>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "core/base/json.h"
#include "core/model/tokenizer.h"

namespace tenpak::model {

/// Immutable after parse; thread-safe.
class Bpe {
   public:
    /// The "model" object of tokenizer.json. kUnsupported names an option that is not known.
    static Result<Bpe> parse(const Json& model, const std::string& where);

    /// Appends the tokens of `word`, which is in the byte alphabet.
    void encode(std::string_view word, std::vector<Token>& out) const;
    const std::unordered_map<std::string, Token>& vocabulary() const { return vocabulary_; }

   private:
    struct Merge {
        std::uint32_t rank;
        Token result;
    };
    static std::uint64_t key(Token a, Token b) { return std::uint64_t{static_cast<std::uint32_t>(a)} << 32 | static_cast<std::uint32_t>(b); }
    const Merge* merge_of(Token a, Token b) const;
    Status parse_merges(const Json& merges, const std::string& where);

    std::unordered_map<std::string, Token> vocabulary_;
    std::unordered_map<std::uint64_t, Merge> merges_;
    Token unknown_ = -1;
    bool fuse_unknown_ = false, ignore_merges_ = false;
};

}  // namespace tenpak::model

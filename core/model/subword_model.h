// SPDX-License-Identifier: Apache-2.0
// The "model" of tokenizer.json: words to tokens.
#pragma once
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "core/base/json.h"
#include "core/model/tokenizer.h"

namespace tenpak::model {

struct TextHash {
    using is_transparent = void;
    std::size_t operator()(std::string_view s) const { return std::hash<std::string_view>()(s); }
};
using Vocabulary = std::unordered_map<std::string, Token, TextHash, std::equal_to<>>;

/// Tokens of words seen before, for one text: words repeat.
class WordMemo {
   public:
    const std::vector<Token>* find(std::string_view word) const {
        const auto it = words_.find(word);
        return it == words_.end() ? nullptr : &it->second;
    }
    void keep(std::string_view word, std::vector<Token> tokens) {
        if (word.size() <= kLongest && words_.size() < kMost) words_.emplace(word, std::move(tokens));
    }

   private:
    static constexpr std::size_t kLongest = 256, kMost = 1'000'000;
    std::unordered_map<std::string, std::vector<Token>, TextHash, std::equal_to<>> words_;
};

/// Immutable, thread-safe.
class SubwordModel {
   public:
    virtual ~SubwordModel() = default;
    /// kUnsupported names a model or an option that is not known.
    static Result<std::unique_ptr<SubwordModel>> parse(const Json& model, const std::string& where);
    /// Appends the tokens of `word`. kMalformed: a character that the model has no token for and no way to say so.
    virtual Status encode(std::string_view word, WordMemo& memo, std::vector<Token>& out) const = 0;
    virtual const Vocabulary& vocabulary() const = 0;
    /// How many entries the model's table has, which is where ids of added tokens begin.
    virtual std::size_t size() const = 0;
};

/// "<0x0A>".
std::string byte_token(unsigned char byte);

}  // namespace tenpak::model

// SPDX-License-Identifier: Apache-2.0
// Tokens that are cut out of the text before anything else sees it ("<|endoftext|>"): leftmost first, longest of equals.
#pragma once
#include <array>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/json.h"
#include "core/model/normalizer.h"
#include "core/model/tokenizer.h"

namespace tenpak::model {

struct AddedToken {
    Token id = 0;
    std::string content;
    bool single_word = false, strip_left = false, strip_right = false, normalized = false, special = false;
};
/// The "added_tokens" list, may be null.
Result<std::vector<AddedToken>> parse_added_tokens(const Json& list, const std::string& where);

/// Immutable, thread-safe.
class TokenFinder {
   public:
    explicit TokenFinder(std::vector<AddedToken> tokens);
    struct Piece {
        std::string_view text;
        Token id = -1;  ///< -1: ordinary text
    };
    /// The whole text as pieces, in order.
    std::vector<Piece> split(std::string_view text) const;

   private:
    const AddedToken* match(std::string_view text, std::size_t at) const;
    std::vector<AddedToken> tokens_;
    std::array<std::vector<std::uint32_t>, 256> by_first_byte_;  ///< longest first
};

}  // namespace tenpak::model

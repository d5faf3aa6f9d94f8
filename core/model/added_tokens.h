// SPDX-License-Identifier: Apache-2.0
// Tokens that are cut out of the text before anything else sees it ("<|endoftext|>"): leftmost first, the longest of those that begin at one place.
#pragma once
#include <array>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "core/base/json.h"
#include "core/model/subword_model.h"

namespace tenpak::model {

struct AddedToken {
    Token id = 0;
    std::string content;
    bool single_word = false, strip_left = false, strip_right = false, normalized = false, special = false;
};
/// The "added_tokens" list, may be null. As the reference library does, ids are those of the model where it knows the text,
/// and counted on from the size of its vocabulary where not: what the file says is not asked.
Result<std::vector<AddedToken>> parse_added_tokens(const Json& list, const SubwordModel& model, const std::string& where);

/// Immutable, thread-safe.
class TokenFinder {
   public:
    explicit TokenFinder(std::vector<AddedToken> tokens);
    struct Piece {
        std::size_t begin = 0, end = 0;
        Token id = -1;  ///< -1: ordinary text
    };
    /// The whole text as pieces, in order.
    std::vector<Piece> split(std::string_view text) const;

   private:
    const AddedToken* match(std::string_view text, std::size_t at) const;
    std::vector<AddedToken> tokens_;
    std::unordered_map<std::string, std::uint32_t, TextHash, std::equal_to<>> by_content_;
    std::array<std::vector<std::size_t>, 256> lengths_;  ///< by first byte, longest first
};

}  // namespace tenpak::model

// SPDX-License-Identifier: Apache-2.0
// Tokens to text while they come: only whole characters leave, and what a decoder changes at the beginning of a text
// (a space stripped) happens once.
#pragma once
#include <string>
#include <vector>

#include "core/model/tokenizer.h"

namespace tenpak::model {

/// Not thread-safe. The tokenizer must outlive it.
class TextStream {
   public:
    explicit TextStream(const Tokenizer& tokenizer, bool skip_special = true) : tokenizer_(tokenizer), skip_special_(skip_special) {}
    /// What can be shown after this token; empty while a character is incomplete.
    std::string add(Token token);
    /// What is left at the end: incomplete characters as U+FFFD.
    std::string finish();

   private:
    const Tokenizer& tokenizer_;
    bool skip_special_;
    std::vector<Token> window_;  // the tokens shown last, which decide how the next begin, and those not shown yet
    std::size_t shown_ = 0;      // of these tokens
};

}  // namespace tenpak::model

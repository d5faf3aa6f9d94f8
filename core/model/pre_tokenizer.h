// SPDX-License-Identifier: Apache-2.0
// Cuts a text into the words that BPE works on, by the regular expressions of tokenizer.json. PCRE2 underneath, with \s
// and \S replaced by Unicode's White_Space: PCRE2's own class has one character more than the reference library's.
#pragma once
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/json.h"

namespace tenpak::model {

/// Immutable, thread-safe.
class PreTokenizer {
   public:
    /// The "pre_tokenizer" object. Known: Sequence, ByteLevel, Split, Digits; kUnsupported names another one, also when no
    /// ByteLevel is among them.
    static Result<std::unique_ptr<PreTokenizer>> parse(const Json& description, const std::string& where);
    ~PreTokenizer();
    /// Words in the byte alphabet. kMalformed when a pattern takes too long on this text.
    Result<std::vector<std::string>> words(std::string_view text) const;

   private:
    struct Step;
    PreTokenizer();
    Status add(const Json& description, const std::string& where, int depth);
    std::vector<Step> steps_;
};

}  // namespace tenpak::model

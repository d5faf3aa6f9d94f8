// SPDX-License-Identifier: Apache-2.0
// What the post-processor adds around a text: BOS and EOS by TemplateProcessing.
#pragma once
#include <string>
#include <vector>

#include "core/base/json.h"
#include "core/model/tokenizer.h"

namespace tenpak::model {

/// Immutable, thread-safe.
class TemplateProcessor {
   public:
    /// The "post_processor" object, may be null. Known: TemplateProcessing, ByteLevel (changes offsets only), Sequence.
    static Result<TemplateProcessor> parse(const Json& description, const std::string& where);
    std::vector<Token> apply(std::vector<Token> text) const;

   private:
    Status add(const Json& description, const std::string& where, int depth);
    std::vector<Token> before_, after_;
};

}  // namespace tenpak::model

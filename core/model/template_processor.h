// SPDX-License-Identifier: Apache-2.0
// What the post-processor adds around a text: BOS and EOS.
#pragma once
#include <string>
#include <vector>

#include "core/base/json.h"
#include "core/model/tokenizer.h"

namespace tenpak::model {

/// Immutable, thread-safe.
class TemplateProcessor {
   public:
    /// The "post_processor" object, may be null. Known: TemplateProcessing, BertProcessing, RobertaProcessing, ByteLevel
    /// (changes offsets only), Sequence.
    static Result<TemplateProcessor> parse(const Json& description, const std::string& where);
    std::vector<Token> apply(std::vector<Token> text) const;

   private:
    Status add(const Json& description, const std::string& where, int depth);
    void wrap(const std::vector<Token>& before, const std::vector<Token>& after);
    std::vector<Token> before_, after_;
};

}  // namespace tenpak::model

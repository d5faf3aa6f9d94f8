// SPDX-License-Identifier: Apache-2.0
// Jinja's template source to tokens, with trim_blocks and lstrip_blocks set, as transformers renders chat templates.
#pragma once
#include <string>
#include <string_view>
#include <vector>

#include "core/base/error.h"

namespace tenpak::model::jinja {

enum class TokenKind { kText, kPrintBegin, kPrintEnd, kBlockBegin, kBlockEnd, kName, kString, kInteger, kFloat, kOperator, kEnd };
struct LexToken {
    TokenKind kind = TokenKind::kEnd;
    std::string text;  ///< of a string: unescaped
    std::size_t line = 1;
};
Result<std::vector<LexToken>> tokenize(std::string_view source);

}  // namespace tenpak::model::jinja

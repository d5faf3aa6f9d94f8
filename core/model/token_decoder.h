// SPDX-License-Identifier: Apache-2.0
// The "decoder" of tokenizer.json: tokens' texts to text.
#pragma once
#include <functional>
#include <string>
#include <vector>

#include "core/base/json.h"

namespace tenpak::model {

/// Immutable, thread-safe.
class TokenDecoder {
   public:
    using Step = std::function<Status(std::vector<std::string>&)>;
    /// The "decoder" object; null: tokens are joined by spaces. kUnsupported names a kind that is not known.
    static Result<TokenDecoder> parse(const Json& description, const std::string& where);
    Result<std::string> decode(std::vector<std::string> tokens) const;

   private:
    Status add(const Json& description, const std::string& where, int depth);
    std::vector<Step> steps_;
    bool join_with_spaces_ = false;
};

}  // namespace tenpak::model

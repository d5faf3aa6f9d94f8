// SPDX-License-Identifier: Apache-2.0
// Unicode normalization of tokenizer.json: NFC, NFD, NFKC, NFKD and sequences of them, by ICU.
#pragma once
#include <string>
#include <string_view>
#include <vector>

#include "core/base/json.h"

namespace tenpak::model {

/// Immutable, thread-safe.
class Normalizer {
   public:
    /// The "normalizer" object, may be null. kUnsupported names another kind.
    static Result<Normalizer> parse(const Json& description, const std::string& where);
    /// `text` is valid UTF-8 and at most 2 GiB.
    Result<std::string> apply(std::string_view text) const;
    bool empty() const { return forms_.empty(); }

   private:
    Status add(const Json& description, const std::string& where, int depth);
    std::vector<std::string> forms_;
};

}  // namespace tenpak::model

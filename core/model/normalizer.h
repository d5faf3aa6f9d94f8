// SPDX-License-Identifier: Apache-2.0
// The "normalizer" of tokenizer.json: what is done to a text before it is cut into words.
#pragma once
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/json.h"

namespace tenpak::model {

/// A text on its way to tokens. One thing must be known of where its bytes come from: whether a part begins at the very
/// beginning of the input, for Metaspace's prepend_scheme "first".
struct NormalizedText {
    std::string text;
    std::size_t first = 0;  ///< bytes at the front that stem from the first character of the input; 0 elsewhere
};

/// Immutable, thread-safe.
class Normalizer {
   public:
    using Step = std::function<Status(NormalizedText&)>;
    /// The "normalizer" object, may be null. kUnsupported names a kind that is not known.
    static Result<Normalizer> parse(const Json& description, const std::string& where);
    /// `t.text` is valid UTF-8 and at most 2 GiB.
    Status apply(NormalizedText& t) const;
    Result<std::string> apply(std::string_view text) const;
    bool empty() const { return steps_.empty(); }

   private:
    Status add(const Json& description, const std::string& where, int depth);
    std::vector<Step> steps_;
};

}  // namespace tenpak::model

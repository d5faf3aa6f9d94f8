// SPDX-License-Identifier: Apache-2.0
// The "pre_tokenizer" of tokenizer.json: cuts a text into the words that the model works on.
#pragma once
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/json.h"
#include "core/model/normalizer.h"
#include "core/model/split_pattern.h"

namespace tenpak::model {

/// Parts of a text, in order, none empty.
struct Words {
    NormalizedText source;
    std::vector<TextRange> ranges;
    std::string_view operator[](std::size_t i) const { return std::string_view(source.text).substr(ranges[i].begin, ranges[i].end - ranges[i].begin); }
};

/// Immutable, thread-safe.
class PreTokenizer {
   public:
    using Step = std::function<Status(Words&)>;
    /// The "pre_tokenizer" object; null: the whole text is one word. kUnsupported names a kind that is not known.
    static Result<PreTokenizer> parse(const Json& description, const std::string& where);
    /// kMalformed when a pattern takes too long on this text.
    Result<Words> words(NormalizedText text) const;

   private:
    Status add(const Json& description, const std::string& where, int depth);
    void add_split(SplitPattern pattern, SplitBehavior behavior, bool inverted = false);
    Status add_metaspace(const Json& description, const std::string& where);
    std::vector<Step> steps_;
};

}  // namespace tenpak::model

// SPDX-License-Identifier: Apache-2.0
// Cutting a text at matches, in the five ways of the reference library.
#pragma once
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/json.h"
#include "core/model/regex.h"

namespace tenpak::model {

struct TextRange {
    std::size_t begin = 0, end = 0;
};
enum class SplitBehavior { kRemoved, kIsolated, kMergedWithPrevious, kMergedWithNext, kContiguous };
Result<SplitBehavior> parse_split_behavior(const Json& object, const char* key, const std::string& where);

/// What is looked for: a regular expression, a literal, or characters with a property. Immutable, thread-safe.
class SplitPattern {
   public:
    explicit SplitPattern(bool (*character)(char32_t)) : character_(character) {}
    explicit SplitPattern(std::string literal) : literal_(std::move(literal)) {}  ///< not empty
    explicit SplitPattern(Regex regex) : regex_(std::make_shared<const Regex>(std::move(regex))) {}
    /// {"String": …} or {"Regex": …}.
    static Result<SplitPattern> parse(const Json& description, const std::string& where);
    Status find_all(std::string_view text, std::vector<Regex::Match>& out) const;

   private:
    bool (*character_)(char32_t) = nullptr;
    std::string literal_;
    std::shared_ptr<const Regex> regex_;
};

/// Appends the parts of text[range] to `out`, none of them empty. inverted: what does not match is what matches.
Status split(std::string_view text, TextRange range, const SplitPattern& pattern, SplitBehavior behavior, bool inverted, std::vector<TextRange>& out);

}  // namespace tenpak::model

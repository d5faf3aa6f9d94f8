// SPDX-License-Identifier: Apache-2.0
// A compiled pattern over UTF-8 text that is known to be valid. PCRE2 underneath; patterns are written in the dialect of
// the reference library (Oniguruma with Ruby's syntax) and translated, and what cannot be translated is refused by name:
// a pattern that means something else would give wrong tokens without a word.
#pragma once
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/error.h"

namespace tenpak::model {

/// Immutable, thread-safe.
class Regex {
   public:
    struct Match {
        std::size_t begin = 0, end = 0;
    };
    /// kUnsupported: a construct that has no translation. kMalformed with PCRE2's words: the pattern does not compile.
    static Result<Regex> compile(const std::string& pattern, const std::string& where);
    static std::string escaped(std::string_view literal);
    Regex(Regex&&) noexcept;
    Regex& operator=(Regex&&) noexcept;
    ~Regex();
    /// Appends all matches from left to right, not overlapping; an empty one only where no match ends. kMalformed when
    /// matching exceeds its limits.
    Status find_all(std::string_view text, std::vector<Match>& out) const;

   private:
    struct Impl;
    explicit Regex(std::unique_ptr<Impl> impl);
    std::unique_ptr<Impl> impl_;
};

/// The same pattern for PCRE2 (UTF, UCP, MULTILINE).
Result<std::string> translate_pattern(const std::string& pattern, const std::string& where);

}  // namespace tenpak::model

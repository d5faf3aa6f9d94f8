// SPDX-License-Identifier: Apache-2.0
// A compiled pattern over UTF-8 text that is known to be valid. Immutable, thread-safe.
#pragma once
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/error.h"

namespace tenpak::model {

class Regex {
   public:
    struct Match {
        std::size_t begin = 0, end = 0;
    };
    /// kMalformed with PCRE2's words when the pattern does not compile.
    static Result<Regex> compile(const std::string& pattern, const std::string& where);
    Regex(Regex&&) noexcept;
    Regex& operator=(Regex&&) noexcept;
    ~Regex();
    /// All matches that are not empty, from left to right, not overlapping. kMalformed when matching exceeds its limits.
    Result<std::vector<Match>> find_all(std::string_view text) const;

   private:
    struct Impl;
    explicit Regex(std::unique_ptr<Impl> impl);
    std::unique_ptr<Impl> impl_;
};

/// The pattern with \s and \S spelled out as Unicode's White_Space.
std::string with_unicode_space(const std::string& pattern);

}  // namespace tenpak::model

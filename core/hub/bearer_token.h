// SPDX-License-Identifier: Apache-2.0
// A secret that a server wants to see: it comes from an environment variable or a file, never from a command line (which
// every user of the machine can read), and is never part of an error, a log or a result.
#pragma once
#include <string>
#include <string_view>

#include "core/base/error.h"

namespace tenpak::hub {

class BearerToken {
   public:
    BearerToken() = default;  ///< none
    /// kNotFound: the variable is not set or empty. kInvalidArgument: it holds something that no header can.
    static Result<BearerToken> from_environment(const std::string& variable);
    /// The file's first line, white space around it dropped.
    static Result<BearerToken> from_file(const std::string& path);
    bool empty() const { return secret_.empty(); }
    /// "Bearer …": for the request's header and nothing else.
    std::string authorization() const { return "Bearer " + secret_; }
    /// `text` (what a server said) with every occurrence of the secret struck out.
    std::string redact(std::string text) const;

   private:
    static Result<BearerToken> checked(std::string secret, const std::string& where);
    std::string secret_;
};

}  // namespace tenpak::hub

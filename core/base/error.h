// SPDX-License-Identifier: Apache-2.0
// Errors as values. The core never prints, never aborts and throws across no public function: what can fail returns
// Result<T> or Status. An Error says what went wrong, where (file, tensor, byte) and what the user can do about it.
#pragma once
#include <cassert>
#include <optional>
#include <string>
#include <type_traits>
#include <utility>
#include <variant>

namespace tenpak {

/// Stable kinds of failure. The studio has a title and a hint for each; the CLI prints the name (error_code_name).
enum class ErrorCode {
    kInvalidArgument,  ///< the caller's request makes no sense (bad option, empty candidate list): exit code 2
    kNotFound,         ///< a file, tensor or key that must exist does not
    kIo,               ///< the operating system refused a read or write
    kNoSpace,          ///< the disk is full
    kPermission,       ///< not allowed to read or write there
    kMalformed,        ///< input that breaks its format's rules
    kUnsupported,      ///< valid input that this program cannot handle; the message names what it can
    kMismatch,         ///< two valid things that do not belong together (other architecture, other shapes)
    kWrongBase,        ///< a delta meets a base that is not the recorded one: exit code 3
    kIntegrity,        ///< bytes do not match their recorded hash: exit code 3
    kSignature,        ///< a signature is absent, invalid or by the wrong key: exit code 3
    kNumeric,          ///< NaN or infinity where a finite number is needed
    kOutOfMemory,      ///< would need, or needed, more memory than there is
    kCancelled,        ///< the user stopped it: exit code 130
    kNoCandidate,      ///< no candidate meets the constraints: exit code 4
    kWorkerCrashed,    ///< a trial's process died; the message has the signal
    kTimeout,          ///< no answer or no heartbeat in time
    kInternal,         ///< a defect of this program
};
inline constexpr int kErrorCodeCount = static_cast<int>(ErrorCode::kInternal) + 1;

/// "malformed", "wrong-base", …: stable, used in messages and JSON.
const char* error_code_name(ErrorCode code);
/// Exit code of the command line for this error (design section 4).
int exit_code(ErrorCode code);

struct [[nodiscard]] Error {
    ErrorCode code = ErrorCode::kInternal;
    std::string what;   ///< one sentence without a full stop: "shape and byte range disagree"
    std::string where;  ///< path, tensor or byte range; may be empty
    std::string hint;   ///< what to do; may be empty

    /// "what (where). hint" on one line, control characters escaped: safe for a terminal.
    std::string text() const;
};

inline Error make_error(ErrorCode code, std::string what, std::string where = {}, std::string hint = {}) {
    return Error{code, std::move(what), std::move(where), std::move(hint)};
}
/// Error from errno: kNoSpace, kPermission, kNotFound or kIo.
Error errno_error(std::string what, std::string where, int errno_value);

/// A value or an Error. Not thread-safe, cheap to move.
template <class T>
class [[nodiscard]] Result {
   public:
    using value_type = T;
    Result(T value) : v_(std::in_place_index<0>, std::move(value)) {}       // NOLINT(google-explicit-constructor)
    Result(Error error) : v_(std::in_place_index<1>, std::move(error)) {}   // NOLINT(google-explicit-constructor)
    bool ok() const { return v_.index() == 0; }
    explicit operator bool() const { return ok(); }
    T& value() & { assert(ok()); return std::get<0>(v_); }
    const T& value() const& { assert(ok()); return std::get<0>(v_); }
    T&& value() && { assert(ok()); return std::get<0>(std::move(v_)); }
    T& operator*() & { return value(); }
    const T& operator*() const& { return value(); }
    T&& operator*() && { return std::move(*this).value(); }
    T* operator->() { return &value(); }
    const T* operator->() const { return &value(); }
    const Error& error() const& { assert(!ok()); return std::get<1>(v_); }
    Error&& error() && { assert(!ok()); return std::get<1>(std::move(v_)); }

   private:
    std::variant<T, Error> v_;
};

/// Success or an Error.
template <>
class [[nodiscard]] Result<void> {
   public:
    Result() = default;
    Result(Error error) : e_(std::move(error)) {}  // NOLINT(google-explicit-constructor)
    bool ok() const { return !e_.has_value(); }
    explicit operator bool() const { return ok(); }
    const Error& error() const& { assert(!ok()); return *e_; }
    Error&& error() && { assert(!ok()); return *std::move(e_); }

   private:
    std::optional<Error> e_;
};
using Status = Result<void>;

}  // namespace tenpak

#define TENPAK_CONCAT_INNER(a, b) a##b
#define TENPAK_CONCAT(a, b) TENPAK_CONCAT_INNER(a, b)
/// TENPAK_RETURN_IF_ERROR(f()); returns f's error from the enclosing function.
#define TENPAK_RETURN_IF_ERROR(expr)                          \
    do {                                                      \
        auto tenpak_status_ = (expr);                         \
        if (!tenpak_status_.ok()) return std::move(tenpak_status_).error(); \
    } while (false)
/// TENPAK_ASSIGN(auto x, f()); x = value of f(), or return its error.
#define TENPAK_ASSIGN(lhs, expr) TENPAK_ASSIGN_INNER(TENPAK_CONCAT(tenpak_result_, __COUNTER__), lhs, expr)
#define TENPAK_ASSIGN_INNER(tmp, lhs, expr)        \
    auto tmp = (expr);                             \
    if (!tmp.ok()) return std::move(tmp).error();  \
    lhs = std::move(tmp).value()

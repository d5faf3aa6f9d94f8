// SPDX-License-Identifier: Apache-2.0
#include "core/base/error.h"

#include <cerrno>
#include <cstring>

namespace tenpak {

const char* error_code_name(ErrorCode code) {
    switch (code) {
        case ErrorCode::kInvalidArgument: return "invalid-argument";
        case ErrorCode::kNotFound: return "not-found";
        case ErrorCode::kIo: return "io";
        case ErrorCode::kNoSpace: return "no-space";
        case ErrorCode::kPermission: return "permission";
        case ErrorCode::kMalformed: return "malformed";
        case ErrorCode::kUnsupported: return "unsupported";
        case ErrorCode::kMismatch: return "mismatch";
        case ErrorCode::kWrongBase: return "wrong-base";
        case ErrorCode::kIntegrity: return "integrity";
        case ErrorCode::kSignature: return "signature";
        case ErrorCode::kNumeric: return "numeric";
        case ErrorCode::kOutOfMemory: return "out-of-memory";
        case ErrorCode::kCancelled: return "cancelled";
        case ErrorCode::kNoCandidate: return "no-candidate";
        case ErrorCode::kWorkerCrashed: return "worker-crashed";
        case ErrorCode::kTimeout: return "timeout";
        case ErrorCode::kInternal: return "internal";
    }
    return "internal";
}

int exit_code(ErrorCode code) {
    switch (code) {
        case ErrorCode::kInvalidArgument: return 2;
        case ErrorCode::kWrongBase:
        case ErrorCode::kIntegrity:
        case ErrorCode::kSignature: return 3;
        case ErrorCode::kNoCandidate: return 4;
        case ErrorCode::kCancelled: return 130;
        default: return 1;
    }
}

namespace {
// Names in messages come from hostile files: no control character reaches the terminal.
void append_printable(std::string& out, const std::string& s) {
    static const char* hex = "0123456789abcdef";
    for (unsigned char c : s) {
        if (c < 0x20 || c == 0x7f) {
            out += "\\x";
            out += hex[c >> 4];
            out += hex[c & 15];
        } else {
            out += static_cast<char>(c);
        }
    }
}
}  // namespace

std::string Error::text() const {
    std::string out;
    append_printable(out, what);
    if (!where.empty()) {
        out += " (";
        append_printable(out, where);
        out += ')';
    }
    if (!hint.empty()) {
        out += ". ";
        append_printable(out, hint);
    }
    return out;
}

Error errno_error(std::string what, std::string where, int errno_value) {
    ErrorCode code = ErrorCode::kIo;
    std::string hint;
    switch (errno_value) {
        case ENOSPC:
        case EDQUOT:
            code = ErrorCode::kNoSpace;
            hint = "Free some disk space or choose another place";
            break;
        case EACCES:
        case EPERM:
        case EROFS:
            code = ErrorCode::kPermission;
            hint = "Check the permissions of the file and its folder";
            break;
        case ENOENT:
        case ENOTDIR:
            code = ErrorCode::kNotFound;
            hint = "Check the path";
            break;
        default: break;
    }
    char buffer[128] = {};
    what += ": ";
    what += strerror_r(errno_value, buffer, sizeof buffer);
    return Error{code, std::move(what), std::move(where), std::move(hint)};
}

}  // namespace tenpak

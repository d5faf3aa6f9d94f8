// SPDX-License-Identifier: Apache-2.0
#include "core/base/error.h"

#include <gtest/gtest.h>

#include <set>

using namespace tenpak;

TEST(Error, NamesAreDistinctAndExitCodesFollowTheDesign) {
    std::set<std::string> names;
    for (int i = 0; i < kErrorCodeCount; ++i) names.insert(error_code_name(static_cast<ErrorCode>(i)));
    EXPECT_EQ(names.size(), static_cast<std::size_t>(kErrorCodeCount));
    EXPECT_EQ(exit_code(ErrorCode::kInvalidArgument), 2);
    EXPECT_EQ(exit_code(ErrorCode::kMalformed), 1);
    EXPECT_EQ(exit_code(ErrorCode::kIntegrity), 3);
    EXPECT_EQ(exit_code(ErrorCode::kWrongBase), 3);
    EXPECT_EQ(exit_code(ErrorCode::kSignature), 3);
    EXPECT_EQ(exit_code(ErrorCode::kNoCandidate), 4);
    EXPECT_EQ(exit_code(ErrorCode::kCancelled), 130);
}

TEST(Error, TextIsOneLineWithoutControlCharacters) {
    const Error e = make_error(ErrorCode::kMalformed, "bad\nname", "a\x1b[31mb", "Look");
    EXPECT_EQ(e.text(), "bad\\x0aname (a\\x1b[31mb). Look");
}

static Result<int> half(int v) {
    if (v % 2 != 0) return make_error(ErrorCode::kInvalidArgument, "odd");
    return v / 2;
}
static Result<int> quarter(int v) {
    TENPAK_ASSIGN(int h, half(v));
    TENPAK_ASSIGN(int q, half(h));
    return q;
}
TEST(Error, MacrosPassErrorsOn) {
    EXPECT_EQ(*quarter(8), 2);
    EXPECT_EQ(quarter(6).error().what, "odd");
}
TEST(Error, ErrnoKinds) {
    EXPECT_EQ(errno_error("x", "y", ENOSPC).code, ErrorCode::kNoSpace);
    EXPECT_EQ(errno_error("x", "y", EACCES).code, ErrorCode::kPermission);
    EXPECT_EQ(errno_error("x", "y", ENOENT).code, ErrorCode::kNotFound);
    EXPECT_EQ(errno_error("x", "y", EIO).code, ErrorCode::kIo);
}

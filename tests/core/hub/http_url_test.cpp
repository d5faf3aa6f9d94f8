// SPDX-License-Identifier: Apache-2.0
#include "core/hub/http_url.h"

#include <gtest/gtest.h>

#include "core/hub/bearer_token.h"
#include "tests/support/temp_dir.h"

namespace tenpak::hub {
namespace {

TEST(HttpUrl, PartsAndText) {
    const auto u = parse_http_url("https://Example.ORG:8443/a/b?x=1");
    ASSERT_TRUE(u.ok());
    EXPECT_EQ(u->scheme, "https");
    EXPECT_EQ(u->host, "example.org");
    EXPECT_EQ(u->port, "8443");
    EXPECT_EQ(u->path, "/a/b");
    EXPECT_EQ(u->query, "x=1");
    EXPECT_EQ(u->text(), "https://example.org:8443/a/b?x=1");
    EXPECT_FALSE(u->loopback());
    EXPECT_EQ(parse_http_url("http://h")->text(), "http://h/");
    EXPECT_EQ(parse_http_url("http://h:80/v1")->text(), "http://h/v1");
}

TEST(HttpUrl, LoopbackIsThisMachineOnly) {
    for (const char* s : {"http://localhost:1", "http://127.0.0.1", "http://127.1.2.3:8", "http://[::1]:8000"}) EXPECT_TRUE(parse_http_url(s)->loopback()) << s;
    for (const char* s : {"http://127.evil.example", "http://localhost.example", "http://128.0.0.1", "http://[::2]"}) EXPECT_FALSE(parse_http_url(s)->loopback()) << s;
}

TEST(HttpUrl, RefusesWhatIsNoPlainAddress) {
    for (const char* s : {"", "localhost:8000", "ftp://h/", "file:///etc/passwd", "http://", "http://h/#x", "http://a b/", "http://h/\r\nX: y", "gopher://h", "http://h:99999/"}) {
        const auto u = parse_http_url(s);
        ASSERT_FALSE(u.ok()) << s;
        EXPECT_EQ(u.error().code, ErrorCode::kInvalidArgument) << s;
        EXPECT_FALSE(u.error().hint.empty()) << s;
    }
}

TEST(HttpUrl, PasswordIsRefusedAndNotRepeated) {
    const auto u = parse_http_url("https://me:hunter2@example.org/v1");
    ASSERT_FALSE(u.ok());
    EXPECT_EQ(u.error().text().find("hunter2"), std::string::npos) << u.error().text();
}

TEST(BearerToken, FromEnvironmentAndFile) {
    setenv("TENPAK_TEST_TOKEN", "sk-abc.123", 1);
    const auto t = BearerToken::from_environment("TENPAK_TEST_TOKEN");
    ASSERT_TRUE(t.ok());
    EXPECT_EQ(t->authorization(), "Bearer sk-abc.123");
    EXPECT_EQ(t->redact("key sk-abc.123 and sk-abc.123 are wrong"), "key [token] and [token] are wrong");
    EXPECT_EQ(BearerToken().redact("as it is"), "as it is");
    EXPECT_EQ(BearerToken::from_environment("TENPAK_TEST_NO_SUCH").error().code, ErrorCode::kNotFound);

    const test::TempDir dir;
    EXPECT_EQ(BearerToken::from_file(dir.write("t", "  sk-file \r\nsecond line\n").string())->authorization(), "Bearer sk-file");
    EXPECT_EQ(BearerToken::from_file(dir.write("empty", "\n").string()).error().code, ErrorCode::kNotFound);
    EXPECT_EQ(BearerToken::from_file((dir / "absent").string()).error().code, ErrorCode::kNotFound);
}

TEST(BearerToken, NeverAHeaderOfItsOwn) {
    for (const char* s : {"a\r\nX-Evil: 1", "two words", "b\x01", "sk-\xC3\xA9"}) {
        setenv("TENPAK_TEST_TOKEN", s, 1);
        const auto t = BearerToken::from_environment("TENPAK_TEST_TOKEN");
        ASSERT_FALSE(t.ok());
        EXPECT_EQ(t.error().code, ErrorCode::kInvalidArgument);
        EXPECT_EQ(t.error().text().find(s), std::string::npos) << "the secret is in the message";
    }
}

}  // namespace
}  // namespace tenpak::hub

// SPDX-License-Identifier: Apache-2.0
#include "core/serving/sse.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace tenpak::serving {
namespace {

using Events = std::vector<std::string>;

Events parse(const std::string& stream, std::size_t piece) {
    SseParser p;
    Events events;
    for (std::size_t at = 0; at < stream.size(); at += piece) {
        const Status s = p.push(std::string_view(stream).substr(at, piece), [&](std::string_view d) {
            events.emplace_back(d);
            return Status();
        });
        EXPECT_TRUE(s.ok());
    }
    return events;
}

TEST(Sse, EveryLineEndingCutAnywhere) {
    const Events expected{"one", "two\nlines", "", "{\"a\": 1}"};
    for (const std::string end : {"\n", "\r\n", "\r"}) {
        std::string s = "\xEF\xBB\xBF: comment" + end + "data: one" + end + end + "event: message" + end + "id: 7" + end + "data:two" + end + "data: lines" + end + end + "data" + end + end + end +
                        "retry: 5" + end + end + "data: {\"a\": 1}" + end + end + "data: cut off";
        for (std::size_t piece = 1; piece <= s.size(); ++piece) EXPECT_EQ(parse(s, piece), expected) << "pieces of " << piece;
    }
}

TEST(Sse, OneLeadingSpaceOnly) { EXPECT_THAT(parse("data:  two spaces\n\n", 3), testing::ElementsAre(" two spaces")); }

TEST(Sse, ErrorOfTheReceiverEndsIt) {
    SseParser p;
    int events = 0;
    const Status s = p.push("data: 1\n\ndata: 2\n\n", [&](std::string_view) {
        ++events;
        return Status(make_error(ErrorCode::kMalformed, "enough"));
    });
    EXPECT_EQ(s.error().what, "enough");
    EXPECT_EQ(events, 1);
}

TEST(Sse, EndlessLinesAndEventsAreRefusedInBoundedMemory) {
    const auto none = [](std::string_view) { return Status(); };
    SseParser line(1000);
    Status s;
    for (int i = 0; i < 100 && s.ok(); ++i) s = line.push(std::string(100, 'x'), none);
    EXPECT_EQ(s.error().code, ErrorCode::kMalformed);
    EXPECT_LE(line.held(), 1000u);

    SseParser event(1000);
    s = {};
    for (int i = 0; i < 100 && s.ok(); ++i) s = event.push("data: " + std::string(100, 'x') + "\n", none);
    EXPECT_EQ(s.error().code, ErrorCode::kMalformed);
    EXPECT_LE(event.held(), 2000u);

    SseParser comments(1000);  // legal for ever
    for (int i = 0; i < 100; ++i) ASSERT_TRUE(comments.push(": " + std::string(100, 'x') + "\n", none).ok());
    EXPECT_EQ(comments.held(), 0u);
}

}  // namespace
}  // namespace tenpak::serving

// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

#include <thread>

#include "core/jobs/exit_reason.h"
#include "core/jobs/line_channel.h"
#include "core/jobs/worker_protocol.h"

namespace tenpak::jobs {
namespace {

struct Pair {
    Pair() {
        int fd[2];
        EXPECT_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fd), 0);
        a = std::make_unique<LineChannel>(fd[0]);
        b = std::make_unique<LineChannel>(fd[1]);
    }
    std::unique_ptr<LineChannel> a, b;
};

TEST(LineChannel, LinesArriveWholeAndInOrder) {
    Pair p;
    const std::string big(3'000'000, 'x');  // far more than a socket buffer
    std::jthread writer([&] {
        EXPECT_TRUE(p.a->write_line("one", 1000).ok());
        EXPECT_TRUE(p.a->write_line("", 1000).ok());
        EXPECT_TRUE(p.a->write_line(big, -1).ok());
    });
    EXPECT_EQ(p.b->read_line(5000).value(), "one");
    EXPECT_EQ(p.b->read_line(5000).value(), "");
    EXPECT_EQ(p.b->read_line(5000).value(), big);
    EXPECT_EQ(p.b->read_line(10).value(), std::nullopt);
    EXPECT_FALSE(p.b->at_end());
}

TEST(LineChannel, AnEndIsSeenAfterTheLastLineAndHalfALineIsDropped) {
    Pair p;
    ASSERT_TRUE(p.a->write_line("last", 100).ok());
    ASSERT_EQ(write(p.a->fd(), "half", 4), 4);
    p.a.reset();
    EXPECT_EQ(p.b->read_line(100).value(), "last");
    EXPECT_EQ(p.b->read_line(100).value(), std::nullopt);
    EXPECT_TRUE(p.b->at_end());
    EXPECT_EQ(p.b->write_line("x", 100).error().code, ErrorCode::kIo);
}

TEST(LineChannel, AReaderThatDoesNotReadTimesOut) {
    Pair p;
    EXPECT_EQ(p.a->write_line(std::string(10'000'000, 'x'), 50).error().code, ErrorCode::kTimeout);
}

TEST(LineChannel, ALineBeyondTheCapIsRefused) {
    Pair p;
    std::jthread writer([&] { (void)p.a->write_line(std::string(kMaxLine + 10, 'x'), 20'000).ok(); });
    Result<std::optional<std::string>> r = std::optional<std::string>();
    for (int i = 0; i < 100 && r.ok() && !*r; ++i) r = p.b->read_line(1000);
    ASSERT_FALSE(r.ok());
    EXPECT_EQ(r.error().code, ErrorCode::kMalformed);
    p.b.reset();
}

TEST(Protocol, MessagesRoundTrip) {
    const auto e = parse_worker_message(error_message(make_error(ErrorCode::kNumeric, "what", "where", "hint")));
    ASSERT_TRUE(e.ok());
    EXPECT_EQ(e->error.code, ErrorCode::kNumeric);
    EXPECT_EQ(e->error.hint, "hint");
    const auto p = parse_worker_message(progress_message("timing", 0.5));
    EXPECT_EQ(p->phase, "timing");
    EXPECT_EQ(p->fraction, 0.5);
    EXPECT_EQ(parse_worker_message(progress_message("x", 17))->fraction, 1) << "clamped";
    EXPECT_EQ(parse_worker_message(hello_message(7))->protocol, 7);
    StartMessage s;
    s.protocol = 1;
    s.candidate = "int8";
    s.spec.candidates = {"fp16"};
    const std::string start = start_message(s);
    EXPECT_EQ(parse_start(start)->candidate, "int8");
    for (std::size_t n = 0; n < start.size(); ++n) ASSERT_FALSE(parse_start(start.substr(0, n)).ok());
    EXPECT_FALSE(parse_start(hello_message(1)).ok());
}

TEST(ExitReason, SaysSignalCodeOrMemory) {
    EXPECT_EQ(signal_name(SIGSEGV), "SIGSEGV");
    EXPECT_EQ(signal_name(SIGKILL), "SIGKILL");
    EXPECT_EQ(signal_name(63), "signal 63");
    const ExitState killed{true, 0, SIGKILL};
    EXPECT_EQ(death_error(killed, "c", "timing", "", true).code, ErrorCode::kOutOfMemory);
    const Error plain = death_error(killed, "c", "timing", "", false);
    EXPECT_EQ(plain.code, ErrorCode::kWorkerCrashed);
    EXPECT_NE(plain.text().find("SIGKILL"), std::string::npos);
    EXPECT_EQ(death_error({true, 0, SIGABRT}, "c", "", "terminate called after throwing an instance of 'std::bad_alloc'", false).code, ErrorCode::kOutOfMemory);
    EXPECT_NE(death_error({true, 3, 0}, "c", "", "", true).text().find("exit code 3"), std::string::npos);
    OomCount before, after;
    EXPECT_FALSE(after.increased_since(before));
    after.cgroup = 1;
    EXPECT_TRUE(after.increased_since(before));
}

}  // namespace
}  // namespace tenpak::jobs

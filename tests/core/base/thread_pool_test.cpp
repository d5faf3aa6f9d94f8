// SPDX-License-Identifier: Apache-2.0
#include "core/base/thread_pool.h"

#include <gtest/gtest.h>

#include <atomic>
#include <numeric>

using namespace tenpak;

TEST(ThreadPool, EveryIndexOnce) {
    ThreadPool pool(4);
    for (int round = 0; round < 500; ++round) {
        std::vector<std::atomic<int>> hits(37);
        pool.parallel_for(hits.size(), [&](std::size_t i, unsigned w) {
            EXPECT_LT(w, 4u);
            ++hits[i];
        });
        for (auto& h : hits) ASSERT_EQ(h, 1);
    }
}
TEST(ThreadPool, FirstErrorStopsTheRest) {
    ThreadPool pool(3);
    std::atomic<int> ran{0};
    const Status s = pool.try_parallel_for(100000, {}, [&](std::size_t i, unsigned) -> Status {
        ++ran;
        if (i == 5) return make_error(ErrorCode::kMalformed, "five");
        return {};
    });
    ASSERT_FALSE(s.ok());
    EXPECT_EQ(s.error().what, "five");
    EXPECT_LT(ran, 100000);
    std::stop_source stop;
    stop.request_stop();
    EXPECT_EQ(pool.try_parallel_for(3, {stop.get_token(), {}}, [](std::size_t, unsigned) { return Status(); }).error().code, ErrorCode::kCancelled);
}
TEST(ParallelOrdered, KeepsOrderAndBound) {
    std::atomic<int> in_flight{0}, most{0};
    std::vector<std::size_t> seen;
    const Status s = parallel_ordered<int>(
        200, 4, 8, {},
        [&](std::size_t i) -> Result<int> {
            const int now = ++in_flight;
            int old = most;
            while (now > old && !most.compare_exchange_weak(old, now)) {}
            return static_cast<int>(i * i);
        },
        [&](std::size_t i, int&& v) -> Status {
            --in_flight;
            EXPECT_EQ(v, static_cast<int>(i * i));
            seen.push_back(i);
            return {};
        });
    ASSERT_TRUE(s.ok());
    std::vector<std::size_t> want(200);
    std::iota(want.begin(), want.end(), 0u);
    EXPECT_EQ(seen, want);
    EXPECT_LE(most, 9);
}
TEST(ParallelOrdered, ErrorsAndStops) {
    for (unsigned threads : {1u, 4u}) {
        int sunk = 0;
        const Status s = parallel_ordered<int>(
            50, threads, 4, {}, [](std::size_t i) -> Result<int> { return i == 20 ? Result<int>(make_error(ErrorCode::kIo, "x")) : Result<int>(1); },
            [&](std::size_t, int&&) -> Status { ++sunk; return {}; });
        EXPECT_FALSE(s.ok());
        EXPECT_EQ(sunk, 20);
    }
}

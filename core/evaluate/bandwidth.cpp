// SPDX-License-Identifier: Apache-2.0
#include "core/evaluate/bandwidth.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <cstring>
#include <memory>

#include "core/base/thread_pool.h"

namespace tenpak::evaluate {
namespace {

constexpr std::size_t kStreams = 8, kLine = 64;
typedef std::uint64_t Line __attribute__((vector_size(kLine)));

/// Reads `count` lines in kStreams interleaved streams; the sum keeps the loads alive.
std::uint64_t read_lines(const std::byte* data, std::size_t count) {
    const std::size_t each = count / kStreams;
    Line sums[kStreams] = {};
    for (std::size_t i = 0; i < each; ++i) {
        for (std::size_t s = 0; s < kStreams; ++s) {
            Line line;
            std::memcpy(&line, data + (s * each + i) * kLine, kLine);
            sums[s] += line;
        }
    }
    std::uint64_t total = 0;
    for (const Line& l : sums) {
        for (std::size_t j = 0; j < kLine / 8; ++j) total += l[j];
    }
    return total;
}

}  // namespace

Result<double> read_bandwidth(unsigned threads, std::size_t bytes, int rounds) {
    const std::size_t slice = bytes / std::max(1u, threads) / (kStreams * kLine) * (kStreams * kLine), total = slice * std::max(1u, threads);
    if (slice == 0) return make_error(ErrorCode::kInvalidArgument, "too few bytes to measure bandwidth with");
    struct Free {
        void operator()(std::byte* p) const { std::free(p); }
    };
    const std::unique_ptr<std::byte, Free> buffer(static_cast<std::byte*>(std::aligned_alloc(4096, (total + 4095) / 4096 * 4096)));
    if (!buffer) return make_error(ErrorCode::kOutOfMemory, "no memory to measure bandwidth with");
    ThreadPool pool(threads, Pinning::kCores);
    std::atomic<std::uint64_t> sink{0};
    pool.parallel_for(pool.size(), [&](std::size_t i, unsigned) { std::memset(buffer.get() + i * slice, 1, slice); });
    double best = 0;
    for (int r = 0; r < rounds; ++r) {
        const auto start = std::chrono::steady_clock::now();
        pool.parallel_for(pool.size(), [&](std::size_t i, unsigned) { sink += read_lines(buffer.get() + i * slice, slice / kLine); });
        const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
        best = std::max(best, static_cast<double>(total) / seconds);
    }
    return best;
}

}  // namespace tenpak::evaluate

// SPDX-License-Identifier: Apache-2.0
#include "core/evaluate/bandwidth.h"

#include <sys/mman.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <cstring>
#include <memory>

#include "core/base/thread_pool.h"

namespace tenpak::evaluate {
namespace {

constexpr std::size_t kMaxStreams = 16, kLine = 64;
constexpr std::size_t kHuge = 2u << 20;
// Streams that lie a power of two apart would fight for the same sets of the caches: they end this many lines early.
constexpr std::size_t kStagger = 65;
typedef std::uint64_t Line __attribute__((vector_size(kLine)));

/// Reads `count` lines in `Streams` interleaved streams; the sum keeps the loads alive.
template <std::size_t Streams>
std::uint64_t read_lines(const std::byte* data, std::size_t count) {
    const std::size_t each = count / Streams - kStagger;
    Line sums[Streams] = {};
    for (std::size_t i = 0; i < each; ++i) {
        for (std::size_t s = 0; s < Streams; ++s) {
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
    threads = std::max(1u, threads);
    const std::size_t lines = bytes / threads / kLine / kMaxStreams * kMaxStreams, slice = lines * kLine;
    if (lines / kMaxStreams <= 2 * kStagger) return make_error(ErrorCode::kInvalidArgument, "too few bytes to measure bandwidth with");
    struct Free {
        void operator()(std::byte* p) const { std::free(p); }
    };
    const std::size_t total = (slice * threads + kHuge - 1) / kHuge * kHuge;
    const std::unique_ptr<std::byte, Free> buffer(static_cast<std::byte*>(std::aligned_alloc(kHuge, total)));
    if (!buffer) return make_error(ErrorCode::kOutOfMemory, "no memory to measure bandwidth with");
    madvise(buffer.get(), total, MADV_HUGEPAGE);  // as large weights are kept; a refusal changes nothing but speed
    ThreadPool pool(threads, Pinning::kCores);
    std::atomic<std::uint64_t> sink{0};
    pool.parallel_for(pool.size(), [&](std::size_t i, unsigned) { std::memset(buffer.get() + i * slice, 1, slice); });
    struct Pattern {
        std::uint64_t (*read)(const std::byte*, std::size_t);
        std::size_t streams;
    };
    constexpr Pattern patterns[] = {{read_lines<2>, 2}, {read_lines<4>, 4}, {read_lines<8>, 8}, {read_lines<16>, 16}};
    double best = 0;
    for (int r = 0; r < rounds; ++r) {
        for (const Pattern& p : patterns) {
            const auto start = std::chrono::steady_clock::now();
            pool.parallel_for(pool.size(), [&](std::size_t i, unsigned) { sink += p.read(buffer.get() + i * slice, lines); });
            const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
            best = std::max(best, static_cast<double>((lines - p.streams * kStagger) * kLine * threads) / seconds);
        }
    }
    return best;
}

}  // namespace tenpak::evaluate

// SPDX-License-Identifier: Apache-2.0
// Data-parallel loops over a fixed set of threads.
#pragma once
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>

#include "core/base/error.h"
#include "core/base/job_context.h"

namespace tenpak {

/// Number of CPUs this process may use (affinity mask and cgroup quota respected), at least 1.
unsigned usable_cpus();

enum class Pinning : std::uint8_t {
    kNone,
    /// Each thread but the caller's on a physical core of its own, where the pool has as many threads as this process may
    /// use cores (affinity mask and quota respected); otherwise as kNone.
    kCores,
};

/// A fixed set of threads. parallel_for may be called from one thread at a time; calls do not nest.
class ThreadPool {
   public:
    explicit ThreadPool(unsigned threads = usable_cpus(), Pinning pinning = Pinning::kNone);
    ~ThreadPool();
    ThreadPool(const ThreadPool&) = delete;
    ThreadPool& operator=(const ThreadPool&) = delete;

    unsigned size() const;
    /// Runs body(i, worker) for i in [0, n), worker in [0, size()). The caller's thread is worker 0. Returns when all
    /// are done. body must not throw. Spins before sleeping: fit for kernels of some microseconds. A thread that the
    /// system does not run takes no task, the others do them.
    void parallel_for(std::size_t n, const std::function<void(std::size_t index, unsigned worker)>& body);
    /// As above, with errors: the first Error (by time) stops the rest and is returned; so does cancelling `ctx`.
    Status try_parallel_for(std::size_t n, const JobContext& ctx,
                            const std::function<Status(std::size_t index, unsigned worker)>& body);

   private:
    struct Impl;
    std::unique_ptr<Impl> impl_;
};

/// Ordered pipeline: work(i) runs on `threads` threads with at most `window` results waiting, sink(i, result) is called
/// on the caller's thread in the order of i. Memory stays bounded by `window` results.
template <class T>
Status parallel_ordered(std::size_t n, unsigned threads, std::size_t window, const JobContext& ctx,
                        const std::function<Result<T>(std::size_t)>& work,
                        const std::function<Status(std::size_t, T&&)>& sink);

}  // namespace tenpak

#include "core/base/parallel_ordered.inc"

// SPDX-License-Identifier: Apache-2.0
#include "core/base/thread_pool.h"

#include <sched.h>

#include <algorithm>
#include <atomic>
#include <cmath>
#include <fstream>

namespace tenpak {

unsigned usable_cpus() {
    unsigned n = std::max(1u, std::thread::hardware_concurrency());
    cpu_set_t set;
    CPU_ZERO(&set);
    if (sched_getaffinity(0, sizeof set, &set) == 0) n = std::max(1, CPU_COUNT(&set));
    std::ifstream quota("/sys/fs/cgroup/cpu.max");
    std::string limit;
    double period = 0;
    if (quota >> limit >> period && limit != "max" && period > 0) {
        const double cpus = std::strtod(limit.c_str(), nullptr) / period;
        if (cpus > 0) n = std::min(n, static_cast<unsigned>(std::max(1.0, std::ceil(cpus))));
    }
    return n;
}

struct ThreadPool::Impl {
    using Body = std::function<void(std::size_t, unsigned)>;
    std::vector<std::thread> threads;
    std::mutex m;
    std::condition_variable wake, finished;
    std::atomic<std::uint64_t> generation{0};
    std::atomic<std::size_t> next{0};
    std::atomic<unsigned> active{0};
    std::atomic<bool> quit{false};
    std::size_t n = 0;
    const Body* body = nullptr;

    void run(unsigned worker) {
        for (std::size_t i = next.fetch_add(1, std::memory_order_relaxed); i < n;
             i = next.fetch_add(1, std::memory_order_relaxed)) {
            (*body)(i, worker);
        }
    }
    void loop(unsigned worker) {
        std::uint64_t seen = 0;
        for (;;) {
            // Kernels of a decode step follow each other within microseconds: a short spin avoids the futex.
            for (int spin = 0; spin < 2000 && generation.load(std::memory_order_acquire) == seen && !quit; ++spin) {
#if defined(__x86_64__)
                __builtin_ia32_pause();
#endif
            }
            if (generation.load(std::memory_order_acquire) == seen) {
                std::unique_lock lock(m);
                wake.wait(lock, [&] { return quit || generation.load(std::memory_order_acquire) != seen; });
            }
            if (quit) return;
            seen = generation.load(std::memory_order_acquire);
            run(worker);
            if (active.fetch_sub(1, std::memory_order_acq_rel) == 1) {
                std::scoped_lock lock(m);
                finished.notify_one();
            }
        }
    }
};

ThreadPool::ThreadPool(unsigned threads) : impl_(std::make_unique<Impl>()) {
    for (unsigned t = 1; t < std::max(1u, threads); ++t) {
        impl_->threads.emplace_back([this, t] { impl_->loop(t); });
    }
}

ThreadPool::~ThreadPool() {
    {
        std::scoped_lock lock(impl_->m);
        impl_->quit = true;
    }
    impl_->wake.notify_all();
    for (auto& t : impl_->threads) t.join();
}

unsigned ThreadPool::size() const { return static_cast<unsigned>(impl_->threads.size()) + 1; }

void ThreadPool::parallel_for(std::size_t n, const std::function<void(std::size_t, unsigned)>& body) {
    if (n == 0) return;
    Impl& s = *impl_;
    if (s.threads.empty() || n == 1) {
        for (std::size_t i = 0; i < n; ++i) body(i, 0);
        return;
    }
    {
        std::scoped_lock lock(s.m);
        s.n = n;
        s.body = &body;
        s.next.store(0, std::memory_order_relaxed);
        s.active.store(static_cast<unsigned>(s.threads.size()), std::memory_order_relaxed);
        s.generation.fetch_add(1, std::memory_order_release);
    }
    s.wake.notify_all();
    s.run(0);
    for (int spin = 0; spin < 2000 && s.active.load(std::memory_order_acquire) != 0; ++spin) {
#if defined(__x86_64__)
        __builtin_ia32_pause();
#endif
    }
    std::unique_lock lock(s.m);
    s.finished.wait(lock, [&] { return s.active.load(std::memory_order_acquire) == 0; });
}

Status ThreadPool::try_parallel_for(std::size_t n, const JobContext& ctx,
                                    const std::function<Status(std::size_t, unsigned)>& body) {
    std::mutex m;
    Status first;
    std::atomic<bool> failed{false};
    parallel_for(n, [&](std::size_t i, unsigned worker) {
        if (failed.load(std::memory_order_relaxed)) return;
        Status s = ctx.check();
        if (s.ok()) s = body(i, worker);
        if (!s.ok()) {
            std::scoped_lock lock(m);
            if (first.ok()) first = std::move(s);
            failed = true;
        }
    });
    return first;
}

}  // namespace tenpak

// SPDX-License-Identifier: Apache-2.0
#include "core/base/thread_pool.h"

#include <pthread.h>
#include <sched.h>

#include <algorithm>
#include <atomic>
#include <chrono>
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

namespace {

/// One CPU of each physical core that this process may use, in ascending order; empty where the system does not tell.
std::vector<int> physical_cores() {
    cpu_set_t set;
    CPU_ZERO(&set);
    std::vector<int> cores;
    if (sched_getaffinity(0, sizeof set, &set) != 0) return cores;
    for (int cpu = 0; cpu < CPU_SETSIZE; ++cpu) {
        if (!CPU_ISSET(cpu, &set)) continue;
        std::ifstream file("/sys/devices/system/cpu/cpu" + std::to_string(cpu) + "/topology/thread_siblings_list");
        int first = -1;
        if (!(file >> first)) return {};
        if (first == cpu || !CPU_ISSET(first, &set)) cores.push_back(cpu);
    }
    return cores;
}

/// The CPUs to pin a pool's threads to, or none: a pool with fewer threads than cores leaves the choice to the system, and
/// one with more threads than cores, or than the control group's quota lets run at once, would only hinder it.
std::vector<int> pinned_cpus(unsigned threads) {
    std::vector<int> cores = physical_cores();
    if (cores.size() != threads || threads > usable_cpus()) cores.clear();
    return cores;
}

void pin(std::thread& thread, int cpu) {
    cpu_set_t set;
    CPU_ZERO(&set);
    CPU_SET(cpu, &set);
    pthread_setaffinity_np(thread.native_handle(), sizeof set, &set);  // a refusal changes nothing
}

void pause() {
#if defined(__x86_64__)
    __builtin_ia32_pause();
#endif
}

/// Kernels of a decode step follow each other within microseconds, and waking a thread costs tens of them.
constexpr auto kSpin = std::chrono::microseconds(200);

template <class Done>
bool spin_until(const Done& done) {
    const auto end = std::chrono::steady_clock::now() + kSpin;
    do {
        for (int i = 0; i < 64; ++i) {
            if (done()) return true;
            pause();
        }
    } while (std::chrono::steady_clock::now() < end);
    return done();
}

}  // namespace

// A job is the word `work`: the number of tasks in its high half, the next one's index in its low half. Whoever draws an
// index below that number knows that the job, and hence `body`, lives until that task is counted in `done`. So a thread
// that sleeps, or that the system has put aside, holds nobody up: the others do its share.
struct ThreadPool::Impl {
    using Body = std::function<void(std::size_t, unsigned)>;
    static constexpr std::size_t kMaxTasks = std::size_t{1} << 31;  // of one job; leaves room for indices drawn in vain

    std::vector<std::thread> threads;
    std::mutex m;
    std::condition_variable wake, finished;
    alignas(64) std::atomic<std::uint64_t> work{0};
    alignas(64) std::atomic<std::uint64_t> done{0};
    alignas(64) std::atomic<std::uint64_t> generation{0};
    std::atomic<const Body*> body{nullptr};
    std::size_t base = 0;  // of the indices; written before `work`
    std::atomic<unsigned> sleepers{0};
    std::atomic<bool> waiting{false}, quit{false};

    /// Draws tasks until none are left.
    void run(unsigned worker) {
        std::uint64_t count = 0, tasks = 0;
        for (;;) {
            const std::uint64_t drawn = work.fetch_add(1, std::memory_order_acq_rel);
            const std::uint64_t index = drawn & 0xffffffffu;
            if (index >= drawn >> 32) break;
            tasks = drawn >> 32;
            (*body.load(std::memory_order_relaxed))(base + index, worker);
            ++count;
        }
        if (count == 0) return;
        if (done.fetch_add(count) + count == tasks && waiting) {
            std::scoped_lock lock(m);
            finished.notify_one();
        }
    }
    void loop(unsigned worker) {
        std::uint64_t seen = 0;
        for (;;) {
            const auto called = [&] { return generation.load() != seen || quit; };
            if (!spin_until(called)) {
                std::unique_lock lock(m);
                ++sleepers;  // before `generation` is looked at again: a caller that sees no sleeper is seen by this one
                wake.wait(lock, called);
                --sleepers;
            }
            if (quit) return;
            seen = generation.load();
            run(worker);
        }
    }
    void call(std::size_t first, std::size_t n, const Body& b) {
        body.store(&b, std::memory_order_relaxed);
        base = first;
        done.store(0, std::memory_order_relaxed);
        work.store(std::uint64_t{n} << 32, std::memory_order_release);
        generation.fetch_add(1);
        if (sleepers != 0) {
            { std::scoped_lock lock(m); }
            wake.notify_all();
        }
        run(0);
        const auto complete = [&] { return done.load() == n; };
        if (spin_until(complete)) return;
        std::unique_lock lock(m);
        waiting = true;
        finished.wait(lock, complete);
        waiting = false;
    }
};

ThreadPool::ThreadPool(unsigned threads, Pinning pinning) : impl_(std::make_unique<Impl>()) {
    const std::vector<int> cpus = pinning == Pinning::kCores ? pinned_cpus(threads) : std::vector<int>();
    for (unsigned t = 1; t < std::max(1u, threads); ++t) {
        impl_->threads.emplace_back([this, t] { impl_->loop(t); });
        if (!cpus.empty()) pin(impl_->threads.back(), cpus[t]);
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
    if (impl_->threads.empty() || n <= 1) {
        for (std::size_t i = 0; i < n; ++i) body(i, 0);
        return;
    }
    for (std::size_t first = 0; first < n; first += Impl::kMaxTasks) impl_->call(first, std::min(Impl::kMaxTasks, n - first), body);
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

// SPDX-License-Identifier: Apache-2.0
#include "core/evaluate/contention.h"

#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstring>
#include <memory>

namespace tenpak::evaluate {
namespace {

struct Close {
    void operator()(std::FILE* f) const { std::fclose(f); }
};
using FilePtr = std::unique_ptr<std::FILE, Close>;

/// First line of /proc/stat (proc(5)): ticks of all CPUs together.
bool read_ticks(std::uint64_t& busy, std::uint64_t& stolen, std::uint64_t& total) {
    const FilePtr f(std::fopen("/proc/stat", "re"));
    unsigned long long user = 0, nice = 0, system = 0, idle = 0, iowait = 0, irq = 0, softirq = 0, steal = 0;
    if (!f || std::fscanf(f.get(), "cpu %llu %llu %llu %llu %llu %llu %llu %llu", &user, &nice, &system, &idle, &iowait, &irq, &softirq, &steal) != 8) return false;
    busy = user + nice + system + irq + softirq;
    stolen = steal;
    total = busy + idle + iowait + steal;
    return true;
}

double own_cpu_seconds() {
    rusage r{};
    ::getrusage(RUSAGE_SELF, &r);
    const auto seconds = [](const timeval& t) { return static_cast<double>(t.tv_sec) + 1e-6 * static_cast<double>(t.tv_usec); };
    return seconds(r.ru_utime) + seconds(r.ru_stime);
}

constexpr double kShortest = 0.05;  // seconds

}  // namespace

void ContentionWatch::restart() {
    start_ = std::chrono::steady_clock::now();
    own_seconds_ = own_cpu_seconds();
    if (!read_ticks(busy_, stolen_, total_)) total_ = 0;
}

Contention ContentionWatch::so_far() const {
    Contention c;
    std::uint64_t busy = 0, stolen = 0, total = 0;
    const double elapsed = std::chrono::duration<double>(std::chrono::steady_clock::now() - start_).count();
    if (total_ == 0 || elapsed < kShortest || !read_ticks(busy, stolen, total) || total <= total_) return c;
    const double per_second = static_cast<double>(::sysconf(_SC_CLK_TCK)), all = static_cast<double>(total - total_);
    const double own = (own_cpu_seconds() - own_seconds_) * per_second;
    c.known = true;
    c.others = std::clamp((static_cast<double>(busy - busy_) - own) / all, 0.0, 1.0);
    c.stolen = std::clamp(static_cast<double>(stolen - std::min(stolen, stolen_)) / all, 0.0, 1.0);
    return c;
}

ResidentMemory resident_memory() {
    ResidentMemory m;
    const FilePtr f(std::fopen("/proc/self/status", "re"));
    char line[256];
    while (f && std::fgets(line, sizeof line, f.get()) != nullptr) {
        unsigned long long kib = 0;
        if (std::sscanf(line, "VmRSS: %llu kB", &kib) == 1) m.now = kib * 1024;
        if (std::sscanf(line, "VmHWM: %llu kB", &kib) == 1) m.peak = kib * 1024;
    }
    return m;
}

}  // namespace tenpak::evaluate

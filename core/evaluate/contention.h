// SPDX-License-Identifier: Apache-2.0
// Whether other processes, or other guests of the same host, took CPU time while something was measured here.
#pragma once
#include <chrono>
#include <cstdint>
#include <string>

namespace tenpak::evaluate {

/// Shares of the time of all CPUs that the machine shows, 0..1.
struct Contention {
    double others = 0;   ///< used by other processes
    double stolen = 0;   ///< withheld by the hypervisor
    bool known = false;  ///< false where the system does not tell, or the time was too short to tell
    double total() const { return others + stolen; }
};
/// Above this share a timing says more about the neighbours than about the model.
inline constexpr double kContended = 0.10;

/// Watches from its construction on. One thread.
class ContentionWatch {
   public:
    ContentionWatch() { restart(); }
    void restart();
    /// Since the start; unknown until some 50 ms have passed, as the system counts in ticks of 10 ms.
    Contention so_far() const;

   private:
    std::uint64_t busy_ = 0, stolen_ = 0, total_ = 0;
    double own_seconds_ = 0;
    std::chrono::steady_clock::time_point start_;
};

/// Memory of this process that is resident now, and at most so far, in bytes; 0 where the system does not tell.
struct ResidentMemory {
    std::uint64_t now = 0, peak = 0;
};
ResidentMemory resident_memory();

}  // namespace tenpak::evaluate

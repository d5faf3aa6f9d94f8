// SPDX-License-Identifier: Apache-2.0
// Why a worker died, in words.
#pragma once
#include <cstdint>
#include <string>

#include "core/base/error.h"
#include "core/jobs/child_process.h"

namespace tenpak::jobs {

/// "SIGSEGV", "SIGKILL", …; "signal 42" for one without a name.
std::string signal_name(int number);

/// How often the kernel killed something for lack of memory: in this process's cgroup, and in the whole system. Taken
/// before and after a trial; 0 where the kernel does not say.
struct OomCount {
    std::uint64_t cgroup = 0, system = 0;
    static OomCount now();
    bool increased_since(const OomCount& before) const { return cgroup > before.cgroup || system > before.system; }
};

/// kOutOfMemory or kWorkerCrashed with signal or exit code, phase, and what the worker last wrote.
Error death_error(const ExitState& exit, const std::string& candidate, const std::string& phase, const std::string& last_words, bool oom_kill_seen);

}  // namespace tenpak::jobs

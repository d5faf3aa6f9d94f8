// SPDX-License-Identifier: Apache-2.0
#include "core/jobs/exit_reason.h"

#include <signal.h>
#include <string.h>

#include <fstream>
#include <sstream>

namespace tenpak::jobs {
namespace {

// The number behind "key " at the start of a line.
std::uint64_t counter(const std::string& path, const std::string& key) {
    std::ifstream in(path);
    std::string line;
    while (std::getline(in, line)) {
        std::istringstream words(line);
        std::string name;
        std::uint64_t value = 0;
        if (words >> name >> value && name == key) return value;
    }
    return 0;
}

std::uint64_t cgroup_oom_kills() {
    std::ifstream in("/proc/self/cgroup");
    std::string line;
    std::uint64_t kills = 0;
    while (std::getline(in, line)) {
        const std::size_t first = line.find(':'), second = line.find(':', first + 1);
        if (first == std::string::npos || second == std::string::npos) continue;
        const std::string controllers = line.substr(first + 1, second - first - 1);
        const std::string path = line.substr(second + 1);
        if (controllers.empty()) kills += counter("/sys/fs/cgroup" + path + "/memory.events", "oom_kill");
        else if (controllers == "memory") kills += counter("/sys/fs/cgroup/memory" + path + "/memory.oom_control", "oom_kill");
    }
    return kills;
}

}  // namespace

std::string signal_name(int number) {
    const char* name = ::sigabbrev_np(number);
    return name != nullptr ? std::string("SIG") + name : "signal " + std::to_string(number);
}

OomCount OomCount::now() { return {cgroup_oom_kills(), counter("/proc/vmstat", "oom_kill")}; }

Error death_error(const ExitState& exit, const std::string& candidate, const std::string& phase, const std::string& last_words, bool oom_kill_seen) {
    const std::string in_phase = phase.empty() ? " at its start" : " in phase \"" + phase + "\"";
    const bool no_memory_thrown = last_words.find("std::bad_alloc") != std::string::npos;
    if ((exit.signal == SIGKILL && oom_kill_seen) || no_memory_thrown) {
        return make_error(ErrorCode::kOutOfMemory, "the worker ran out of memory" + in_phase, candidate, "Free memory, or try a smaller model or batch");
    }
    std::string what = "the worker ";
    if (exit.signal != 0) what += "died of " + signal_name(exit.signal);
    else if (exit.code == -1) what += "is gone";
    else what += "ended with exit code " + std::to_string(exit.code) + " and without a result";
    what += in_phase;
    if (!last_words.empty()) what += "; it last wrote: " + last_words;
    std::string hint = "Run the sweep again to retry it";
    if (exit.signal == SIGKILL) hint = "Somebody killed it, or the system lacked memory; run the sweep again to retry it";
    return make_error(ErrorCode::kWorkerCrashed, what, candidate, hint);
}

}  // namespace tenpak::jobs

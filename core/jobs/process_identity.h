// SPDX-License-Identifier: Apache-2.0
// Which process: pids are reused, so a process is its pid, its start time and the boot it runs in.
#pragma once
#include <cstdint>
#include <string>

namespace tenpak::jobs {

struct ProcessIdentity {
    std::int64_t pid = 0;
    std::uint64_t start_ticks = 0;  ///< field 22 of /proc/PID/stat: since boot
    std::string boot;               ///< /proc/sys/kernel/random/boot_id
    std::string pid_namespace;      ///< link of /proc/self/ns/pid: pids of another one say nothing here
};
ProcessIdentity this_process();
/// False only when it is certain: another boot, or no such process, or a later one with the same pid. A process of
/// another pid namespace counts as alive.
bool process_is_alive(const ProcessIdentity& process);
/// RFC 3339 in UTC: "2026-11-22T09:30:00Z".
std::string now_rfc3339();

}  // namespace tenpak::jobs

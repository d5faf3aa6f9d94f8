// SPDX-License-Identifier: Apache-2.0
// How much memory this process can still get.
#pragma once
#include <cstdint>
#include <string>

namespace tenpak {

/// Bytes: the least of the system's MemAvailable (Documentation/filesystems/proc.rst) and what the limits of the process's
/// control group and of those above it leave (cgroup v2 memory.max, v1 memory.limit_in_bytes; cached file pages count as
/// free). 0: unknown. `root`: where /proc and /sys lie (tests).
std::uint64_t available_memory(const std::string& root = {});
/// "12.1 GB", decimal.
std::string bytes_text(std::uint64_t bytes);

}  // namespace tenpak

// SPDX-License-Identifier: Apache-2.0
#include "core/base/memory_info.h"

#include <algorithm>
#include <cstdio>
#include <fstream>
#include <optional>
#include <sstream>

namespace tenpak {
namespace {

/// The number behind `key` in a file of "key number" lines; without a key the file's only number. "max" is no number.
std::optional<std::uint64_t> number_in(const std::string& path, const std::string& key = {}) {
    std::ifstream in(path);
    std::string line;
    while (std::getline(in, line)) {
        std::istringstream words(line);
        std::string word;
        if (!key.empty() && (!(words >> word) || word != key)) continue;
        std::uint64_t value = 0;
        if (words >> value) return value;
        return std::nullopt;
    }
    return std::nullopt;
}

struct Files {
    const char *limit, *usage, *cached;
};
constexpr Files kV2{"memory.max", "memory.current", "inactive_file"};
constexpr Files kV1{"memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"};

/// What `group` and the groups above it leave.
std::optional<std::uint64_t> left_in(const std::string& mount, std::string group, const Files& files) {
    std::optional<std::uint64_t> least;
    while (true) {
        const std::string dir = mount + group + "/";
        const auto limit = number_in(dir + files.limit), usage = number_in(dir + files.usage);
        if (limit && usage) {
            const std::uint64_t used = *usage - std::min(*usage, number_in(dir + "memory.stat", files.cached).value_or(0));
            const std::uint64_t left = *limit > used ? *limit - used : 0;
            least = std::min(least.value_or(left), left);
        }
        if (group.empty() || group == "/") return least;
        const auto slash = group.rfind('/');
        group.resize(slash == std::string::npos ? 0 : slash);
    }
}

}  // namespace

std::uint64_t available_memory(const std::string& root) {
    std::uint64_t least = number_in(root + "/proc/meminfo", "MemAvailable:").value_or(0) * 1024;
    std::ifstream groups(root + "/proc/self/cgroup");
    std::string line;
    while (std::getline(groups, line)) {  // "0::/path" (v2) or "7:memory:/path" (v1)
        const auto first = line.find(':'), second = line.find(':', first + 1);
        if (first == std::string::npos || second == std::string::npos) continue;
        const std::string controllers = line.substr(first + 1, second - first - 1), path = line.substr(second + 1);
        std::optional<std::uint64_t> left;
        if (controllers.empty()) left = left_in(root + "/sys/fs/cgroup", path, kV2);
        else if (("," + controllers + ",").find(",memory,") != std::string::npos) left = left_in(root + "/sys/fs/cgroup/memory", path, kV1);
        if (left) least = least == 0 ? *left : std::min(least, *left);
    }
    return least;
}

std::string bytes_text(std::uint64_t bytes) {
    char text[32];
    const auto b = static_cast<double>(bytes);
    if (bytes >= 1'000'000'000) std::snprintf(text, sizeof text, "%.1f GB", b / 1e9);
    else if (bytes >= 1'000'000) std::snprintf(text, sizeof text, "%.1f MB", b / 1e6);
    else if (bytes >= 1000) std::snprintf(text, sizeof text, "%.1f kB", b / 1e3);
    else std::snprintf(text, sizeof text, "%llu bytes", static_cast<unsigned long long>(bytes));
    return text;
}

}  // namespace tenpak

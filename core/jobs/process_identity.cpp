// SPDX-License-Identifier: Apache-2.0
#include "core/jobs/process_identity.h"

#include <unistd.h>

#include <array>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <fstream>
#include <iterator>

namespace tenpak::jobs {
namespace {

std::string read_small(const std::string& path) {
    std::ifstream in(path);
    std::string s((std::istreambuf_iterator<char>(in)), std::istreambuf_iterator<char>());
    while (!s.empty() && s.back() == '\n') s.pop_back();
    return s;
}

// 0 where there is no such process, or only its corpse.
std::uint64_t start_ticks(std::int64_t pid) {
    const std::string stat = read_small("/proc/" + std::to_string(pid) + "/stat");
    const std::size_t name_end = stat.rfind(')');  // the name may hold spaces and parentheses
    if (name_end == std::string::npos || name_end + 2 >= stat.size() || stat[name_end + 2] == 'Z') return 0;
    std::size_t at = name_end + 2;
    for (int field = 3; field < 22; ++field) {
        at = stat.find(' ', at);
        if (at == std::string::npos) return 0;
        ++at;
    }
    return std::strtoull(stat.c_str() + at, nullptr, 10);
}

std::string pid_namespace() {
    std::array<char, 128> link{};
    const ssize_t n = ::readlink("/proc/self/ns/pid", link.data(), link.size() - 1);
    return n > 0 ? std::string(link.data(), static_cast<std::size_t>(n)) : std::string();
}

}  // namespace

ProcessIdentity this_process() {
    ProcessIdentity p;
    p.pid = ::getpid();
    p.start_ticks = start_ticks(p.pid);
    p.boot = read_small("/proc/sys/kernel/random/boot_id");
    p.pid_namespace = pid_namespace();
    return p;
}

bool process_is_alive(const ProcessIdentity& process) {
    if (process.pid <= 0) return false;
    const ProcessIdentity here = this_process();
    if (process.boot != here.boot) return false;
    if (process.pid_namespace != here.pid_namespace) return true;
    return start_ticks(process.pid) == process.start_ticks;
}

std::string now_rfc3339() {
    const std::time_t now = std::time(nullptr);
    std::tm t{};
    gmtime_r(&now, &t);
    std::array<char, 64> s{};
    std::strftime(s.data(), s.size(), "%Y-%m-%dT%H:%M:%SZ", &t);
    return s.data();
}

}  // namespace tenpak::jobs

// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include "core/base/memory_info.h"
#include "tests/support/temp_dir.h"

namespace {

using namespace tenpak;

TEST(MemoryInfo, TheLeastOfSystemAndGroups) {
    test::TempDir dir;
    const std::string root = (dir / "").string();
    EXPECT_EQ(available_memory(root), 0u) << "nothing is known";
    dir.write("proc/meminfo", "MemTotal:       16000000 kB\nMemFree:  1 kB\nMemAvailable:    8000000 kB\n");
    EXPECT_EQ(available_memory(root), 8'192'000'000u);
    dir.write("proc/self/cgroup", "0::/work/job\n");
    EXPECT_EQ(available_memory(root), 8'192'000'000u) << "groups without limits";
    dir.write("sys/fs/cgroup/work/job/memory.max", "max\n");
    dir.write("sys/fs/cgroup/work/job/memory.current", "1000\n");
    EXPECT_EQ(available_memory(root), 8'192'000'000u);
    dir.write("sys/fs/cgroup/work/memory.max", "5000000\n");
    dir.write("sys/fs/cgroup/work/memory.current", "3000000\n");
    EXPECT_EQ(available_memory(root), 2'000'000u) << "the group above";
    dir.write("sys/fs/cgroup/work/memory.stat", "anon 2000000\ninactive_file 500000\nactive_file 7\n");
    EXPECT_EQ(available_memory(root), 2'500'000u) << "cached pages are given back";
    dir.write("sys/fs/cgroup/work/job/memory.max", "1500\n");
    EXPECT_EQ(available_memory(root), 500u);
    dir.write("proc/self/cgroup", "9:cpu,memory:/a\n");
    dir.write("sys/fs/cgroup/memory/a/memory.limit_in_bytes", "700\n");
    dir.write("sys/fs/cgroup/memory/a/memory.usage_in_bytes", "800\n");
    EXPECT_EQ(available_memory(root), 0u) << "nothing is left";
}

TEST(MemoryInfo, OfThisMachine) {
    EXPECT_GT(available_memory(), 1'000'000u);
    EXPECT_EQ(bytes_text(12'100'000'000), "12.1 GB");
    EXPECT_EQ(bytes_text(1'500'000), "1.5 MB");
    EXPECT_EQ(bytes_text(7), "7 bytes");
}

}  // namespace

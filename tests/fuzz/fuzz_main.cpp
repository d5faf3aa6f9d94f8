// SPDX-License-Identifier: Apache-2.0
// One libFuzzer program a target: FUZZ_TARGET is set by CMake. With TENPAK_FUZZ_WRITE_SEEDS=DIR the seeds are written first.
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>

#include "tests/fuzz/targets.h"

namespace {
const tenpak::fuzz::Target& chosen() {
    for (const auto& t : tenpak::fuzz::targets()) {
        if (std::strcmp(t.name, FUZZ_TARGET) == 0) return t;
    }
    std::abort();
}
}  // namespace

extern "C" int LLVMFuzzerInitialize(int*, char***) {
    if (const char* dir = std::getenv("TENPAK_FUZZ_WRITE_SEEDS")) {
        std::filesystem::create_directories(dir);
        int n = 0;
        for (const std::string& s : chosen().seeds()) std::ofstream(std::filesystem::path(dir) / ("seed-" + std::to_string(n++)), std::ios::binary) << s;
    }
    return 0;
}

extern "C" int LLVMFuzzerTestOneInput(const unsigned char* data, std::size_t size) {
    chosen().run({reinterpret_cast<const std::byte*>(data), size});
    return 0;
}

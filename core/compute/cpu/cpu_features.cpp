// SPDX-License-Identifier: Apache-2.0
#include <sys/syscall.h>
#include <unistd.h>

#include <charconv>
#include <cstdlib>
#include <fstream>
#include <sstream>
#include <string_view>

#include "core/compute/cpu/cpu_backend.h"

#if defined(__x86_64__)
#include <cpuid.h>
#endif

namespace tenpak::compute {
namespace {

#if defined(__x86_64__)
struct Leaf {
    unsigned a = 0, b = 0, c = 0, d = 0;
};
Leaf cpuid(unsigned leaf, unsigned sub) {
    Leaf r;
    if (__get_cpuid_count(leaf, sub, &r.a, &r.b, &r.c, &r.d) == 0) return {};
    return r;
}
bool bit(unsigned value, int index) { return (value >> index & 1u) != 0; }

/// Which register state the system saves (XCR0): a CPU flag without it is of no use.
std::uint64_t saved_state() {
    const Leaf one = cpuid(1, 0);
    if (!bit(one.c, 27)) return 0;
    unsigned lo = 0, hi = 0;
    __asm__ volatile("xgetbv" : "=a"(lo), "=d"(hi) : "c"(0));
    return lo | std::uint64_t{hi} << 32;
}

/// Linux hands out the tile registers on request, once a process (Documentation/arch/x86/xstate.rst).
bool request_tiles() {
    constexpr int kArchReqXcompPerm = 0x1023;
    constexpr int kTileData = 18;
    return syscall(SYS_arch_prctl, kArchReqXcompPerm, kTileData) == 0;
}

void detect(CpuFeatures& f) {
    const std::uint64_t state = saved_state();
    const bool ymm = (state & 0x6) == 0x6, zmm = (state & 0xe6) == 0xe6, tiles = (state & 0x60000) == 0x60000;
    const Leaf one = cpuid(1, 0), seven = cpuid(7, 0), seven1 = cpuid(7, 1);
    f.avx2 = ymm && bit(seven.b, 5) && bit(seven.b, 8) && bit(one.c, 12) && bit(one.c, 29);  // with BMI2, FMA and F16C
    f.avx512 = zmm && f.avx2 && bit(seven.b, 16) && bit(seven.b, 17) && bit(seven.b, 30) && bit(seven.b, 31);  // F, DQ, BW, VL
    f.avx512_vnni = f.avx512 && bit(seven.c, 11);
    f.avx512_bf16 = f.avx512 && bit(seven1.a, 5);
    f.avx512_vbmi2 = f.avx512 && bit(seven.c, 6);
    const bool amx = f.avx512_vnni && f.avx512_bf16 && tiles && bit(seven.d, 24) && request_tiles();
    f.amx_int8 = amx && bit(seven.d, 25);
    f.amx_bf16 = amx && bit(seven.d, 22);
    char brand[49] = {};
    for (unsigned i = 0; i < 3; ++i) {
        const Leaf r = cpuid(0x80000002u + i, 0);
        const unsigned v[4] = {r.a, r.b, r.c, r.d};
        std::copy_n(reinterpret_cast<const char*>(v), 16, brand + 16 * i);
    }
    f.model = brand;
}

/// TENPAK_CPU=scalar|avx2|avx512|vnni takes away what lies above that level.
void limit(CpuFeatures& f, std::string_view level) {
    if (level == "scalar") f.avx2 = f.avx512 = f.avx512_vnni = f.avx512_bf16 = f.amx_int8 = f.amx_bf16 = false;
    if (level == "avx2") f.avx512 = f.avx512_vnni = f.avx512_bf16 = f.amx_int8 = f.amx_bf16 = false;
    if (level == "avx512") f.avx512_vnni = f.avx512_bf16 = f.amx_int8 = f.amx_bf16 = false;
    if (level == "vnni") f.amx_int8 = f.amx_bf16 = false;
}
#endif

/// As the kernel tells it; sysconf answers from CPUID, which in a virtual machine may tell of the whole host (seen: 320 MiB
/// of L3 where 32 are shared by these cores). 0: unknown.
std::uint64_t cache_bytes(int level) {
    for (int i = 0; i < 8; ++i) {
        const std::string folder = "/sys/devices/system/cpu/cpu0/cache/index" + std::to_string(i) + "/";
        const auto read = [&](const char* name) {
            std::string word;
            std::ifstream(folder + name) >> word;
            return word;
        };
        if (read("level") != std::to_string(level) || read("type") == "Instruction") continue;
        const std::string size = read("size");  // "32768K"
        std::uint64_t v = 0;
        const auto [end, error] = std::from_chars(size.data(), size.data() + size.size(), v);
        if (error == std::errc()) return v * (*end == 'K' ? 1024u : *end == 'M' ? 1024u * 1024 : 1u);
    }
    return 0;
}

CpuFeatures detect_all() {
    CpuFeatures f;
#if defined(__x86_64__)
    detect(f);
    if (const char* level = std::getenv("TENPAK_CPU")) limit(f, level);
#elif defined(__aarch64__)
    f.model = "ARM 64-bit";
#endif
    const auto trimmed = f.model.find_last_not_of(" \t");
    f.model.resize(trimmed == std::string::npos ? 0 : trimmed + 1);
    if (f.model.empty()) f.model = "unknown CPU";
    const auto positive = [](long v) { return v > 0 ? static_cast<std::uint64_t>(v) : 0; };
    f.memory_bytes = positive(sysconf(_SC_PHYS_PAGES)) * positive(sysconf(_SC_PAGESIZE));
    f.l2_bytes = cache_bytes(2);
    f.l3_bytes = cache_bytes(3);
    if (f.l2_bytes == 0) f.l2_bytes = positive(sysconf(_SC_LEVEL2_CACHE_SIZE));
    if (f.l3_bytes == 0) f.l3_bytes = positive(sysconf(_SC_LEVEL3_CACHE_SIZE));
    return f;
}

}  // namespace

std::string CpuFeatures::instruction_sets() const {
    std::string s = avx512_vnni ? "AVX-512 VNNI" : avx512 ? "AVX-512" : avx2 ? "AVX2" : "scalar";
    if (amx_bf16 || amx_int8) s += ", AMX";
    return s;
}

const CpuFeatures& cpu_features() {
    static const CpuFeatures features = detect_all();
    return features;
}

}  // namespace tenpak::compute

// SPDX-License-Identifier: Apache-2.0
#include "tests/bench/peak_rate.h"

#include <algorithm>
#include <chrono>

#include "core/base/thread_pool.h"
#include "core/compute/cpu/cpu_backend.h"

namespace tenpak::bench {
namespace {

constexpr long kRounds = 2000000;

#if defined(__x86_64__)
// Twelve independent sums hide the latency of four cycles at up to three a cycle.
#define TENPAK_PEAK_LOOP(name, instruction)                                                                                 \
    void name() {                                                                                                           \
        for (long i = 0; i < kRounds; ++i) {                                                                                \
            __asm__ volatile(instruction(0) instruction(1) instruction(2) instruction(3) instruction(4) instruction(5)      \
                                 instruction(6) instruction(7) instruction(8) instruction(9) instruction(10) instruction(11) :: \
                                     : "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8", "xmm9", "xmm10", "xmm11", "xmm12"); \
        }                                                                                                                   \
    }
#define TENPAK_FMA_512(r) "vfmadd231ps %%zmm12, %%zmm12, %%zmm" #r "\n\t"
#define TENPAK_FMA_256(r) "vfmadd231ps %%ymm12, %%ymm12, %%ymm" #r "\n\t"
#define TENPAK_BF16(r) "vdpbf16ps %%zmm12, %%zmm12, %%zmm" #r "\n\t"
#define TENPAK_VNNI(r) "vpdpbusd %%zmm12, %%zmm12, %%zmm" #r "\n\t"
TENPAK_PEAK_LOOP(fma_512, TENPAK_FMA_512)
TENPAK_PEAK_LOOP(fma_256, TENPAK_FMA_256)
TENPAK_PEAK_LOOP(bf16_512, TENPAK_BF16)
TENPAK_PEAK_LOOP(vnni_512, TENPAK_VNNI)
#endif

}  // namespace

double peak_rate(Instruction instruction, unsigned threads) {
#if defined(__x86_64__)
    const auto& f = compute::cpu_features();
    void (*loop)() = nullptr;
    double each = 0;  // operations of one instruction
    switch (instruction) {
        case Instruction::kFma:
            loop = f.avx512 ? fma_512 : f.avx2 ? fma_256 : nullptr;
            each = f.avx512 ? 32 : 16;
            break;
        case Instruction::kBf16:
            loop = f.avx512_bf16 ? bf16_512 : nullptr;
            each = 64;
            break;
        case Instruction::kVnni:
            loop = f.avx512_vnni ? vnni_512 : nullptr;
            each = 128;
            break;
    }
    if (loop == nullptr) return 0;
    ThreadPool pool(threads, Pinning::kCores);
    double best = 0;
    for (int r = 0; r < 4; ++r) {
        const auto start = std::chrono::steady_clock::now();
        pool.parallel_for(pool.size(), [&](std::size_t, unsigned) { loop(); });
        const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
        best = std::max(best, each * 12 * kRounds * threads / seconds);
    }
    return best;
#else
    (void)instruction, (void)threads;
    return 0;
#endif
}

}  // namespace tenpak::bench

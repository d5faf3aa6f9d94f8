// SPDX-License-Identifier: Apache-2.0
// Every instruction-set level that this machine has, as features to build a backend from.
#pragma once
#include <string>
#include <utility>
#include <vector>

#include "core/compute/cpu/cpu_backend.h"

namespace tenpak::test {

inline std::vector<std::pair<std::string, compute::CpuFeatures>> cpu_levels() {
    const compute::CpuFeatures all = compute::cpu_features();
    std::vector<std::pair<std::string, compute::CpuFeatures>> levels;
    compute::CpuFeatures f = all;
    f.avx2 = f.avx512 = f.avx512_vnni = f.avx512_bf16 = f.avx512_vbmi2 = f.amx_int8 = f.amx_bf16 = false;
    levels.emplace_back("scalar", f);
    if (all.avx2) {
        f.avx2 = true;
        levels.emplace_back("avx2", f);
    }
    if (all.avx512) {
        f.avx512 = true;
        levels.emplace_back("avx512", f);
    }
    if (all.avx512_vnni) {
        f.avx512_vnni = true;
        if (all.avx512_bf16 || all.avx512_vbmi2) levels.emplace_back("vnni alone", f);  // Cascade Lake
        f.avx512_bf16 = all.avx512_bf16;
        f.avx512_vbmi2 = all.avx512_vbmi2;
        levels.emplace_back("vnni", f);
    }
    if (all.amx_bf16 && all.amx_int8) levels.emplace_back("amx", all);
    return levels;
}

}  // namespace tenpak::test

// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <memory>

#include "core/compute/backend.h"

namespace tenpak::compute {

struct CpuFeatures {
    bool avx2 = false, avx512 = false, avx512_vnni = false, avx512_bf16 = false, amx_int8 = false, amx_bf16 = false;
    std::string model;  ///< "Intel(R) Xeon(R) Processor"
    std::uint64_t memory_bytes = 0, l2_bytes = 0, l3_bytes = 0;
    /// "AVX-512 VNNI, AMX", for the hardware chip.
    std::string instruction_sets() const;
};
const CpuFeatures& cpu_features();

/// `threads` 0: usable_cpus(). Kernels are chosen at run time from cpu_features(); TENPAK_CPU=scalar|avx2|avx512 in the
/// environment limits them (tests).
std::unique_ptr<Backend> make_cpu_backend(unsigned threads = 0);

}  // namespace tenpak::compute

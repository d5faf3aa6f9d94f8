// SPDX-License-Identifier: Apache-2.0
// The CUDA module's functions over host memory: the same plan and the same kernel bodies, block by block. Slow, for tests.
#pragma once
#include <cstdint>

#include "core/compute/cuda/commands.h"

namespace tenpak::test {

struct CudaEmulation {
    unsigned processors = 132;         ///< decides how products are split
    bool dense_library = true;         ///< dense products by a plain loop with the library's operands
    std::uint64_t memory = 1ull << 30;  ///< allocations beyond it fail
    bool fail_next_run = false;
    // What was asked of it.
    std::uint64_t lists = 0, commands = 0, launches = 0, repeated_lists = 0;
};
/// One at a time; sessions opened afterwards follow `settings`, which must outlive them.
const tenpak_cuda_compute& cuda_emulation(CudaEmulation& settings);

}  // namespace tenpak::test

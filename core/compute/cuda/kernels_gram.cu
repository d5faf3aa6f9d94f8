// SPDX-License-Identifier: Apache-2.0
#include "core/compute/cuda/kernels.h"

namespace tenpak::compute::gpu {
namespace {

extern __shared__ __align__(16) unsigned char shared_memory[];

// At most 128 registers: two blocks a processor.
__global__ void __launch_bounds__(kGramThreads, 2) gram_kernel(const __grid_constant__ GramArgs a) { gram_body(DeviceBlock(shared_memory), a); }

}  // namespace

cudaError_t launch_gram(const Stream& stream, const GramArgs& a, u32 x) { return start(stream, gram_kernel, x, kGramThreads, kGramSharedBytes, a); }

}  // namespace tenpak::compute::gpu

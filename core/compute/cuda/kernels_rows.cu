// SPDX-License-Identifier: Apache-2.0
#include "core/compute/cuda/kernels.h"

namespace tenpak::compute::gpu {
namespace {

extern __shared__ __align__(16) unsigned char shared_memory[];

__global__ void __launch_bounds__(512) row_kernel(const __grid_constant__ RowArgs a) { row_body(DeviceBlock(shared_memory), a); }

__device__ __forceinline__ void in_turn() {
    const DeviceBlock block(shared_memory);
    block.start_successor();
    block.wait_predecessor();
}
__global__ void __launch_bounds__(256) element_kernel(const __grid_constant__ ElementArgs a) {
    in_turn();
    const std::uint64_t stride = static_cast<std::uint64_t>(gridDim.x) * blockDim.x;
    for (std::uint64_t i = static_cast<std::uint64_t>(blockIdx.x) * blockDim.x + threadIdx.x; i < a.size; i += stride) element(a, i);
}
__global__ void __launch_bounds__(256) rope_kernel(const __grid_constant__ RopeArgs a, std::uint64_t pairs) {
    in_turn();
    const std::uint64_t i = static_cast<std::uint64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
    if (i < pairs) rope_pair(a, i);
}
__global__ void __launch_bounds__(256) copy_kernel(const tenpak_cuda_copy_job* jobs) {
    in_turn();
    const tenpak_cuda_copy_job job = jobs[blockIdx.y];
    const std::uint64_t size = static_cast<std::uint64_t>(job.rows) * job.columns, stride = static_cast<std::uint64_t>(gridDim.x) * blockDim.x;
    for (std::uint64_t i = static_cast<std::uint64_t>(blockIdx.x) * blockDim.x + threadIdx.x; i < size; i += stride)
        job.to[i / job.columns * job.to_stride + i % job.columns] = job.from[i / job.columns * job.from_stride + i % job.columns];
}

unsigned blocks_of(std::uint64_t size) {
    constexpr std::uint64_t kMost = 4096;
    const std::uint64_t blocks = (size + 255) / 256;
    return static_cast<unsigned>(blocks < 1 ? 1 : blocks < kMost ? blocks : kMost);
}

}  // namespace

cudaError_t launch_row(const Stream& stream, const RowArgs& a, u32 rows, u32 threads, u32 shared) {
    if (const cudaError_t e = allow_shared(row_kernel, shared); e != cudaSuccess) return e;
    return start(stream, row_kernel, rows, threads, shared, a);
}
cudaError_t launch_element(const Stream& stream, const ElementArgs& a) {
    return start(stream, element_kernel, blocks_of(a.size), 256, 0, a);
}
cudaError_t launch_rope(const Stream& stream, const RopeArgs& a, std::uint64_t pairs) {
    return start(stream, rope_kernel, static_cast<unsigned>((pairs + 255) / 256), 256, 0, a, pairs);
}
cudaError_t launch_copy(const Stream& stream, const tenpak_cuda_copy_job* jobs, u32 count, std::uint64_t size) {
    return start(stream, copy_kernel, dim3(blocks_of(size), count), 256, 0, jobs);
}

}  // namespace tenpak::compute::gpu

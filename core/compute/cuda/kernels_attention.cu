// SPDX-License-Identifier: Apache-2.0
#include "core/compute/cuda/kernels.h"

namespace tenpak::compute::gpu {
namespace {

extern __shared__ __align__(16) unsigned char shared_memory[];

template <u32 kLaneDims, u32 kQueries>
__global__ void __launch_bounds__(kDecodeWarps * 32) decode_kernel(const __grid_constant__ AttentionArgs a) {
    attention_decode_body<kLaneDims, kQueries>(DeviceBlock(shared_memory), a);
}
__global__ void __launch_bounds__(128) join_kernel(const __grid_constant__ AttentionArgs a) { attention_join_body(DeviceBlock(shared_memory), a); }
template <u32 kDim>
__global__ void __launch_bounds__(kPrefillThreads) prefill_kernel(const __grid_constant__ AttentionArgs a) {
    attention_prefill_body<kDim>(DeviceBlock(shared_memory), a);
}

template <u32 kLaneDims>
cudaError_t start_decode(const Stream& stream, u32 queries, const AttentionArgs& a, dim3 grid) {
    const u32 shared = decode_shared_bytes(queries, kLaneDims);
    return queries == 1 ? start(stream, decode_kernel<kLaneDims, 1>, grid, kDecodeWarps * 32, shared, a) : start(stream, decode_kernel<kLaneDims, 4>, grid, kDecodeWarps * 32, shared, a);
}
template <u32 kDim>
cudaError_t start_prefill(const Stream& stream, const AttentionArgs& a, dim3 grid) {
    constexpr u32 kBytes = prefill_shared_bytes<kDim>();
    if (const cudaError_t e = allow_shared(prefill_kernel<kDim>, kBytes); e != cudaSuccess) return e;
    return start(stream, prefill_kernel<kDim>, grid, kPrefillThreads, kBytes, a);
}

}  // namespace

cudaError_t launch_attention_decode(const Stream& stream, u32 lane_dims, u32 queries, const AttentionArgs& a, u32 x, u32 y, u32 z) {
    const dim3 grid(x, y, z);
    if (lane_dims == 2) return start_decode<2>(stream, queries, a, grid);
    if (lane_dims == 4) return start_decode<4>(stream, queries, a, grid);
    return start_decode<8>(stream, queries, a, grid);
}
cudaError_t launch_attention_join(const Stream& stream, const AttentionArgs& a, u32 x, u32 y) {
    return start(stream, join_kernel, dim3(x, y), 128, 0, a);
}
cudaError_t launch_attention_prefill(const Stream& stream, u32 dim, const AttentionArgs& a, u32 x, u32 y, u32 z) {
    const dim3 grid(x, y, z);
    if (dim == 64) return start_prefill<64>(stream, a, grid);
    if (dim == 128) return start_prefill<128>(stream, a, grid);
    return start_prefill<256>(stream, a, grid);
}

}  // namespace tenpak::compute::gpu

// SPDX-License-Identifier: Apache-2.0
#include "core/compute/cuda/kernels.h"

namespace tenpak::compute::gpu {
namespace {

extern __shared__ __align__(16) unsigned char shared_memory[];

template <u32 kFormat, u32 kTokens>
__global__ void __launch_bounds__(kGemmThreads, 1) gemm_kernel(const __grid_constant__ LinearArgs a) {
    gemm_body<kFormat, kTokens>(DeviceBlock(shared_memory), a);
}

template <u32 kFormat, u32 kTokens>
cudaError_t start_gemm(const Stream& stream, const LinearArgs& a, u32 x, u32 y, u32 z) {
    constexpr u32 kBytes = GemmShape<kFormat, kTokens>::kSharedBytes;
    if (const cudaError_t e = allow_shared(gemm_kernel<kFormat, kTokens>, kBytes); e != cudaSuccess) return e;
    return start(stream, gemm_kernel<kFormat, kTokens>, dim3(x, y, z), kGemmThreads, kBytes, a);
}
template <u32 kFormat>
cudaError_t start_gemm(const Stream& stream, u32 tokens, const LinearArgs& a, u32 x, u32 y, u32 z) {
    return tokens == 64 ? start_gemm<kFormat, 64>(stream, a, x, y, z) : start_gemm<kFormat, 128>(stream, a, x, y, z);
}

}  // namespace

cudaError_t launch_gemm(const Stream& stream, u32 format, u32 tokens, const LinearArgs& a, u32 x, u32 y, u32 z) {
    if (format == kFormatInt4) return start_gemm<kFormatInt4>(stream, tokens, a, x, y, z);
    if (format == kFormatInt8Group) return start_gemm<kFormatInt8Group>(stream, tokens, a, x, y, z);
    if (format == kFormatNf4) return start_gemm<kFormatNf4>(stream, tokens, a, x, y, z);
    if (format == kFormatInt4Residual) return start_gemm<kFormatInt4Residual>(stream, tokens, a, x, y, z);
    if (format == kFormatFp8Channel) return start_gemm<kFormatFp8Channel>(stream, tokens, a, x, y, z);
    return start_gemm<kFormatInt8Channel>(stream, tokens, a, x, y, z);
}

}  // namespace tenpak::compute::gpu

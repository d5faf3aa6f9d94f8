// SPDX-License-Identifier: Apache-2.0
#include "core/compute/cuda/kernels.h"

namespace tenpak::compute::gpu {
namespace {

extern __shared__ __align__(16) unsigned char shared_memory[];

// At most 128 registers: two blocks a processor.
template <u32 kFormat, u32 kTiles>
__global__ void __launch_bounds__(kGemvWarps * 32, 2) gemv_kernel(const __grid_constant__ LinearArgs a) {
    gemv_body<kFormat, kTiles>(DeviceBlock(shared_memory), a);
}
template <u32 kBytes, u32 kTokens>
__global__ void __launch_bounds__(256) dense_gemv_kernel(const __grid_constant__ DenseArgs a) {
    dense_gemv_body<kBytes, kTokens>(DeviceBlock(shared_memory), a);
}
__global__ void __launch_bounds__(256) dequantize_kernel(const __grid_constant__ LinearArgs a, u32 format, u16* to) {
    dequantize_body(DeviceBlock(shared_memory), a, format, to);
}
__global__ void __launch_bounds__(256) expand_kernel(const __grid_constant__ LinearArgs a, u32* to) { expand_body(DeviceBlock(shared_memory), a, to); }
__global__ void __launch_bounds__(kOutlierRows) outlier_kernel(const __grid_constant__ LinearArgs a, u32 part) { outlier_body(DeviceBlock(shared_memory), a, part); }

template <u32 kFormat, u32 kTiles>
cudaError_t start_gemv(const Stream& stream, const LinearArgs& a, u32 x, u32 y) {
    return start(stream, gemv_kernel<kFormat, kTiles>, dim3(x, y), kGemvWarps * 32, gemv_shared_bytes<kTiles>(), a);
}
template <u32 kFormat>
cudaError_t start_gemv(const Stream& stream, u32 tiles, const LinearArgs& a, u32 x, u32 y) {
    if (tiles == 1) return start_gemv<kFormat, 1>(stream, a, x, y);
    if (tiles == 2) return start_gemv<kFormat, 2>(stream, a, x, y);
    return start_gemv<kFormat, 4>(stream, a, x, y);
}
}  // namespace

cudaError_t launch_gemv(const Stream& stream, u32 format, u32 tiles, const LinearArgs& a, u32 x, u32 y) {
    if (format == kFormatInt4) return start_gemv<kFormatInt4>(stream, tiles, a, x, y);
    if (format == kFormatInt8Group) return start_gemv<kFormatInt8Group>(stream, tiles, a, x, y);
    if (format == kFormatNf4) return start_gemv<kFormatNf4>(stream, tiles, a, x, y);
    if (format == kFormatInt4Residual) return start_gemv<kFormatInt4Residual>(stream, tiles, a, x, y);
    if (format == kFormatInt4Sparse) return start_gemv<kFormatInt4Sparse>(stream, tiles, a, x, y);
    if (format == kFormatFp8Channel) return start_gemv<kFormatFp8Channel>(stream, tiles, a, x, y);
    return start_gemv<kFormatInt8Channel>(stream, tiles, a, x, y);
}
cudaError_t launch_dense_gemv(const Stream& stream, u32 bytes, u32 tokens, const DenseArgs& a, u32 x) {
    if (bytes == 2) {
        return tokens == 1 ? start(stream, dense_gemv_kernel<2, 1>, x, 256, 0, a) : start(stream, dense_gemv_kernel<2, 4>, x, 256, 0, a);
    }
    return tokens == 1 ? start(stream, dense_gemv_kernel<4, 1>, x, 256, 0, a) : start(stream, dense_gemv_kernel<4, 4>, x, 256, 0, a);
}
cudaError_t launch_dequantize(const Stream& stream, const LinearArgs& a, u32 format, u16* to, u32 x, u32 y) {
    return start(stream, dequantize_kernel, dim3(x, y), 256, 0, a, format, to);
}
cudaError_t launch_expand(const Stream& stream, const LinearArgs& a, u32* to, u32 x, u32 y) { return start(stream, expand_kernel, dim3(x, y), 256, 0, a, to); }
cudaError_t launch_outliers(const Stream& stream, const LinearArgs& a, u32 part, u32 x, u32 y) {
    return start(stream, outlier_kernel, dim3(x, y), kOutlierRows, 0, a, part);
}

}  // namespace tenpak::compute::gpu

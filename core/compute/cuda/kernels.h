// SPDX-License-Identifier: Apache-2.0
// Starts the kernels whose bodies are in linear_gemv.h, linear_gemm.h, dense_gemv.h, dequantize.h, attention.h, rows.h and gram.h. Instantiated few times, to keep nvcc quick.
#pragma once
#include <cuda_runtime.h>

#include "core/compute/cuda/attention.h"
#include "core/compute/cuda/commands.h"
#include "core/compute/cuda/dense_gemv.h"
#include "core/compute/cuda/dequantize.h"
#include "core/compute/cuda/gram.h"
#include "core/compute/cuda/linear_gemm.h"
#include "core/compute/cuda/linear_gemv.h"
#include "core/compute/cuda/rows.h"

namespace tenpak::compute::gpu {

struct Stream {
    cudaStream_t handle = nullptr;
    bool overlap = false;  ///< kernels may start while the one before still runs (compute capability 9.0, programmatic dependent launch)
};

cudaError_t launch_gemv(const Stream& stream, u32 format, u32 tiles, const LinearArgs& a, u32 x, u32 y);
cudaError_t launch_gemm(const Stream& stream, u32 format, u32 tokens, const LinearArgs& a, u32 x, u32 y, u32 z);
cudaError_t launch_dense_gemv(const Stream& stream, u32 bytes, u32 tokens, const DenseArgs& a, u32 x);
cudaError_t launch_dequantize(const Stream& stream, const LinearArgs& a, u32 format, u16* to, u32 x, u32 y);
cudaError_t launch_expand(const Stream& stream, const LinearArgs& a, u32* to, u32 x, u32 y);
cudaError_t launch_outliers(const Stream& stream, const LinearArgs& a, u32 part, u32 x, u32 y);
cudaError_t launch_gram(const Stream& stream, const GramArgs& a, u32 x);
cudaError_t launch_row(const Stream& stream, const RowArgs& a, u32 rows, u32 threads, u32 shared);
cudaError_t launch_element(const Stream& stream, const ElementArgs& a);
cudaError_t launch_rope(const Stream& stream, const RopeArgs& a, std::uint64_t pairs);
cudaError_t launch_copy(const Stream& stream, const tenpak_cuda_copy_job* jobs, u32 count, std::uint64_t size);
cudaError_t launch_attention_decode(const Stream& stream, u32 lane_dims, u32 queries, const AttentionArgs& a, u32 x, u32 y, u32 z);
cudaError_t launch_attention_join(const Stream& stream, const AttentionArgs& a, u32 x, u32 y);
cudaError_t launch_attention_prefill(const Stream& stream, u32 dim, const AttentionArgs& a, u32 x, u32 y, u32 z);

/// `bytes` of dynamic shared memory for a kernel; above 48 KiB a kernel must ask for it first.
template <class Kernel>
cudaError_t allow_shared(Kernel kernel, u32 bytes) {
    if (bytes <= 48 * 1024) return cudaSuccess;
    return cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, static_cast<int>(bytes));
}

/// kernel<<<grid, threads, shared>>>(arguments…), overlapping the one before it where the stream allows.
template <class... Parameters, class... Arguments>
cudaError_t start(const Stream& stream, void (*kernel)(Parameters...), dim3 grid, u32 threads, u32 shared, Arguments... arguments) {
    cudaLaunchAttribute overlap{};
    overlap.id = cudaLaunchAttributeProgrammaticStreamSerialization;
    overlap.val.programmaticStreamSerializationAllowed = 1;
    cudaLaunchConfig_t config{};
    config.gridDim = grid;
    config.blockDim = dim3(threads);
    config.dynamicSmemBytes = shared;
    config.stream = stream.handle;
    config.attrs = &overlap;
    config.numAttrs = stream.overlap ? 1 : 0;
    return cudaLaunchKernelEx(&config, kernel, Parameters(arguments)...);
}

}  // namespace tenpak::compute::gpu

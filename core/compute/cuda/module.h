/* SPDX-License-Identifier: Apache-2.0
 * C ABI of the module tenpak_cuda. Plain C, so that program and module may come from different compilers. Every function
 * returns 0 or fills `error` (NUL-terminated, cut to its size) and returns another number. Only worker processes open it. */
#ifndef TENPAK_COMPUTE_CUDA_MODULE_H
#define TENPAK_COMPUTE_CUDA_MODULE_H
#include <stddef.h>
#include <stdint.h>

#include "core/compute/cuda/commands.h"
#include "core/compute/cuda/weight_block.h"

#define TENPAK_CUDA_ABI 4

#ifdef __cplusplus
extern "C" {
#endif

struct tenpak_cuda_runtime {
    int32_t driver_version, runtime_version; /* 13000 is 13.0 */
    int32_t devices;
};
struct tenpak_cuda_device {
    char name[256];
    int32_t sm_major, sm_minor, multiprocessors;
    uint64_t memory_bytes, free_bytes;
};

int32_t tenpak_cuda_abi(void);
int tenpak_cuda_get_runtime(struct tenpak_cuda_runtime* out, char* error, size_t error_size);
int tenpak_cuda_get_device(int32_t index, struct tenpak_cuda_device* out, char* error, size_t error_size);
/* Bytes read plus bytes written per second by a copy kernel over `bytes` of device memory, best of some rounds. */
int tenpak_cuda_copy_bandwidth(int32_t index, uint64_t bytes, double* bytes_per_second, char* error, size_t error_size);
/* y[r][c] = x[r][c] / sqrt(mean_c(x[r][c]^2) + eps) * weight[c], bf16 in and out, sums in fp32. Host pointers. */
int tenpak_cuda_rms_norm(int32_t index, const uint16_t* x, const uint16_t* weight, float eps, uint32_t rows, uint32_t columns, uint16_t* y,
                         char* error, size_t error_size);

/* Device memory. `direction` of a copy: 0 host to device, 1 device to host, 2 within the device. */
int tenpak_cuda_allocate(int32_t index, uint64_t bytes, void** memory, char* error, size_t error_size);
int tenpak_cuda_release(int32_t index, void* memory, char* error, size_t error_size);
int tenpak_cuda_copy(int32_t index, void* to, const void* from, uint64_t bytes, int32_t direction, char* error, size_t error_size);
/* Decodes blocks (weight_block.h) in device memory, a warp a block: `blocks` on the host, image, predictions, keys and output on the device.
 * status[i]: 0, or why block i is wrong (weight_warp.h); seconds: of the kernel. The caller has checked that all offsets lie in the buffers. */
int tenpak_cuda_decode_blocks(int32_t index, const struct tenpak_weight_block* blocks, uint32_t count, const void* image, const void* predictions,
                              const void* keys, void* output, uint32_t* status, double* seconds, char* error, size_t error_size);

#ifdef __cplusplus
}
#endif
#endif

// SPDX-License-Identifier: Apache-2.0
// Blocks of weights decoded in device memory: one warp a block, its tables in shared memory (weight_warp.h).
#include <cuda_runtime.h>

#include <algorithm>
#include <cstdio>
#include <vector>

#include "core/compute/cuda/module.h"
#include "core/compute/cuda/weight_warp.h"

namespace {

using tenpak::compute::DeviceWarp;
using tenpak::compute::WeightHeader;

int fail(const char* doing, cudaError_t e, char* error, size_t size) {
    if (error != nullptr && size > 0) std::snprintf(error, size, "%s: %s", doing, cudaGetErrorString(e));
    return 1;
}
#define TENPAK_TRY(doing, call)                                           \
    do {                                                                  \
        const cudaError_t e_ = (call);                                    \
        if (e_ != cudaSuccess) return fail(doing, e_, error, error_size); \
    } while (false)

class Buffer {
   public:
    ~Buffer() { cudaFree(p_); }
    cudaError_t allocate(size_t bytes) { return cudaMalloc(&p_, bytes); }
    template <class T>
    T* as() const { return static_cast<T*>(p_); }

   private:
    void* p_ = nullptr;
};
class Event {
   public:
    Event() { cudaEventCreate(&e_); }
    ~Event() { cudaEventDestroy(e_); }
    cudaEvent_t get() const { return e_; }

   private:
    cudaEvent_t e_ = nullptr;
};

__device__ void copy_bytes(unsigned char* to, const unsigned char* from, unsigned long long bytes) {
    const unsigned lane = threadIdx.x;
    const bool aligned = ((reinterpret_cast<unsigned long long>(to) | reinterpret_cast<unsigned long long>(from)) & 15u) == 0;
    unsigned long long done = 0;
    if (aligned) {
        const unsigned long long n = bytes / 16;
        for (unsigned long long i = lane; i < n; i += 32) reinterpret_cast<uint4*>(to)[i] = reinterpret_cast<const uint4*>(from)[i];
        done = n * 16;
    }
    for (unsigned long long i = done + lane; i < bytes; i += 32) to[i] = from[i];
}

__global__ void __launch_bounds__(32) decode_kernel(const tenpak_weight_block* __restrict__ blocks, const unsigned char* __restrict__ image,
                                                    const unsigned char* __restrict__ predictions, const unsigned char* __restrict__ keys,
                                                    unsigned char* __restrict__ output, unsigned* __restrict__ status) {
    extern __shared__ std::uint32_t header[];
    const tenpak_weight_block b = blocks[blockIdx.x];
    unsigned char* const out = output + b.output_offset;
    unsigned result = 0;
    if (b.kind != TENPAK_BLOCK_WEIGHTS) {
        copy_bytes(out, b.kind == TENPAK_BLOCK_PREDICTED ? predictions + b.prediction_offset : image + b.image_offset, b.bytes);
    } else {
        const std::uint32_t* const from = reinterpret_cast<const std::uint32_t*>(image + b.image_offset);
        const unsigned n = tenpak_weight_header_bytes(b.entries, b.contexts, b.keys_count) / 4;
        for (unsigned i = threadIdx.x; i < n; i += 32) header[i] = from[i];
        __syncwarp();
        const WeightHeader h(b, header);
        const std::uint32_t* const states = reinterpret_cast<const std::uint32_t*>(image + b.words_offset);
        const unsigned char* const predicted = predictions + b.prediction_offset;
        const DeviceWarp warp;
        if (b.weight_bytes == 2) {
            result = tenpak::compute::decode_weights_by_warp(warp, b, h, states, reinterpret_cast<const std::uint16_t*>(predicted), keys + b.keys_offset,
                                                             reinterpret_cast<std::uint16_t*>(out));
        } else {
            result = tenpak::compute::decode_weights_by_warp(warp, b, h, states, reinterpret_cast<const std::uint32_t*>(predicted), keys + b.keys_offset,
                                                             reinterpret_cast<std::uint32_t*>(out));
        }
    }
    if (threadIdx.x == 0) status[blockIdx.x] = result;
}

}  // namespace

#define TENPAK_EXPORT extern "C" __attribute__((visibility("default")))

TENPAK_EXPORT int tenpak_cuda_allocate(int32_t index, uint64_t bytes, void** memory, char* error, size_t error_size) {
    TENPAK_TRY("cannot choose the device", cudaSetDevice(index));
    TENPAK_TRY("cannot allocate device memory", cudaMalloc(memory, bytes));
    return 0;
}

TENPAK_EXPORT int tenpak_cuda_release(int32_t index, void* memory, char* error, size_t error_size) {
    TENPAK_TRY("cannot choose the device", cudaSetDevice(index));
    TENPAK_TRY("cannot free device memory", cudaFree(memory));
    return 0;
}

TENPAK_EXPORT int tenpak_cuda_copy(int32_t index, void* to, const void* from, uint64_t bytes, int32_t direction, char* error, size_t error_size) {
    TENPAK_TRY("cannot choose the device", cudaSetDevice(index));
    const cudaMemcpyKind kind = direction == 0 ? cudaMemcpyHostToDevice : direction == 1 ? cudaMemcpyDeviceToHost : cudaMemcpyDeviceToDevice;
    TENPAK_TRY("cannot copy", cudaMemcpy(to, from, bytes, kind));
    return 0;
}

TENPAK_EXPORT int tenpak_cuda_decode_blocks(int32_t index, const tenpak_weight_block* blocks, uint32_t count, const void* image, const void* predictions,
                                            const void* keys, void* output, uint32_t* status, double* seconds, char* error, size_t error_size) {
    TENPAK_TRY("cannot choose the device", cudaSetDevice(index));
    *seconds = 0;
    if (count == 0) return 0;
    unsigned shared = 0;
    for (uint32_t i = 0; i < count; ++i)
        if (blocks[i].kind == TENPAK_BLOCK_WEIGHTS) shared = std::max(shared, tenpak_weight_header_bytes(blocks[i].entries, blocks[i].contexts, blocks[i].keys_count));
    Buffer records, results;
    TENPAK_TRY("cannot allocate device memory", records.allocate(count * sizeof *blocks));
    TENPAK_TRY("cannot allocate device memory", results.allocate(count * sizeof *status));
    TENPAK_TRY("cannot copy to the device", cudaMemcpy(records.as<void>(), blocks, count * sizeof *blocks, cudaMemcpyHostToDevice));
    Event begin, end;
    TENPAK_TRY("cannot record an event", cudaEventRecord(begin.get()));
    decode_kernel<<<count, 32, shared>>>(records.as<const tenpak_weight_block>(), static_cast<const unsigned char*>(image), static_cast<const unsigned char*>(predictions),
                                         static_cast<const unsigned char*>(keys), static_cast<unsigned char*>(output), results.as<unsigned>());
    TENPAK_TRY("cannot start the decoding kernel", cudaGetLastError());
    TENPAK_TRY("cannot record an event", cudaEventRecord(end.get()));
    TENPAK_TRY("the decoding kernel failed", cudaEventSynchronize(end.get()));
    float ms = 0;
    TENPAK_TRY("cannot read the time", cudaEventElapsedTime(&ms, begin.get(), end.get()));
    *seconds = static_cast<double>(ms) * 1e-3;
    TENPAK_TRY("cannot copy from the device", cudaMemcpy(status, results.as<void>(), count * sizeof *status, cudaMemcpyDeviceToHost));
    return 0;
}

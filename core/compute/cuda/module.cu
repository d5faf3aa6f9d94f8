// SPDX-License-Identifier: Apache-2.0
// The module tenpak_cuda: what the device is, how fast its memory is, and a first kernel whose result is checked against
// the CPU (self_test.h). No exception leaves it.
#include <cuda_bf16.h>
#include <cuda_runtime.h>

#include <cstdio>
#include <cstring>

#include "core/compute/cuda/module.h"

namespace {

int fail(const char* doing, cudaError_t e, char* error, size_t size) {
    if (error != nullptr && size > 0) std::snprintf(error, size, "%s: %s", doing, cudaGetErrorString(e));
    return 1;
}

// Device memory that is given back on every path.
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

__global__ void copy_kernel(const uint4* __restrict__ from, uint4* __restrict__ to, size_t n) {
    const size_t stride = static_cast<size_t>(gridDim.x) * blockDim.x;
    for (size_t i = blockIdx.x * static_cast<size_t>(blockDim.x) + threadIdx.x; i < n; i += stride) to[i] = from[i];
}

constexpr unsigned kBlock = 256, kWarp = 32;

// One block a row.
__global__ void rms_norm_kernel(const __nv_bfloat16* __restrict__ x, const __nv_bfloat16* __restrict__ weight, float eps, unsigned columns,
                                __nv_bfloat16* __restrict__ y) {
    __shared__ float partial[kBlock / kWarp];
    const size_t row = static_cast<size_t>(blockIdx.x) * columns;
    float sum = 0;
    for (unsigned c = threadIdx.x; c < columns; c += blockDim.x) {
        const float v = __bfloat162float(x[row + c]);
        sum += v * v;
    }
    for (unsigned offset = kWarp / 2; offset > 0; offset /= 2) sum += __shfl_down_sync(0xffffffffu, sum, offset);
    if (threadIdx.x % kWarp == 0) partial[threadIdx.x / kWarp] = sum;
    __syncthreads();
    float total = 0;
    for (unsigned w = 0; w < kBlock / kWarp; ++w) total += partial[w];
    const float scale = rsqrtf(total / static_cast<float>(columns) + eps);
    for (unsigned c = threadIdx.x; c < columns; c += blockDim.x) {
        y[row + c] = __float2bfloat16(__bfloat162float(x[row + c]) * scale * __bfloat162float(weight[c]));
    }
}

}  // namespace

#define TENPAK_TRY(doing, call)                                              \
    do {                                                                     \
        const cudaError_t e_ = (call);                                       \
        if (e_ != cudaSuccess) return fail(doing, e_, error, error_size);    \
    } while (false)

#define TENPAK_EXPORT extern "C" __attribute__((visibility("default")))

TENPAK_EXPORT int32_t tenpak_cuda_abi(void) { return TENPAK_CUDA_ABI; }

TENPAK_EXPORT int tenpak_cuda_get_runtime(tenpak_cuda_runtime* out, char* error, size_t error_size) {
    int driver = 0, runtime = 0, devices = 0;
    TENPAK_TRY("cannot ask for the driver's version", cudaDriverGetVersion(&driver));
    TENPAK_TRY("cannot ask for the runtime's version", cudaRuntimeGetVersion(&runtime));
    TENPAK_TRY("cannot count the devices", cudaGetDeviceCount(&devices));
    *out = {driver, runtime, devices};
    return 0;
}

TENPAK_EXPORT int tenpak_cuda_get_device(int32_t index, tenpak_cuda_device* out, char* error, size_t error_size) {
    cudaDeviceProp p{};
    TENPAK_TRY("cannot choose the device", cudaSetDevice(index));
    TENPAK_TRY("cannot ask for the device's properties", cudaGetDeviceProperties(&p, index));
    size_t free_bytes = 0, total = 0;
    TENPAK_TRY("cannot ask for the device's memory", cudaMemGetInfo(&free_bytes, &total));
    *out = {};
    std::snprintf(out->name, sizeof out->name, "%s", p.name);
    out->sm_major = p.major;
    out->sm_minor = p.minor;
    out->multiprocessors = p.multiProcessorCount;
    out->memory_bytes = total;
    out->free_bytes = free_bytes;
    return 0;
}

TENPAK_EXPORT int tenpak_cuda_copy_bandwidth(int32_t index, uint64_t bytes, double* bytes_per_second, char* error, size_t error_size) {
    TENPAK_TRY("cannot choose the device", cudaSetDevice(index));
    const size_t n = bytes / sizeof(uint4);
    if (n == 0) return fail("copy bandwidth", cudaErrorInvalidValue, error, error_size);
    Buffer from, to;
    TENPAK_TRY("cannot allocate device memory", from.allocate(n * sizeof(uint4)));
    TENPAK_TRY("cannot allocate device memory", to.allocate(n * sizeof(uint4)));
    TENPAK_TRY("cannot fill device memory", cudaMemset(from.as<void>(), 0x5a, n * sizeof(uint4)));
    int processors = 0;
    TENPAK_TRY("cannot ask for the device's properties", cudaDeviceGetAttribute(&processors, cudaDevAttrMultiProcessorCount, index));
    const unsigned blocks = static_cast<unsigned>(processors) * 8;
    Event begin, end;
    float best_ms = 0;
    for (int round = 0; round < 8; ++round) {  // the first rounds warm up
        TENPAK_TRY("cannot record an event", cudaEventRecord(begin.get()));
        copy_kernel<<<blocks, kBlock>>>(from.as<uint4>(), to.as<uint4>(), n);
        TENPAK_TRY("cannot start the copy kernel", cudaGetLastError());
        TENPAK_TRY("cannot record an event", cudaEventRecord(end.get()));
        TENPAK_TRY("the copy kernel failed", cudaEventSynchronize(end.get()));
        float ms = 0;
        TENPAK_TRY("cannot read the time", cudaEventElapsedTime(&ms, begin.get(), end.get()));
        if (round >= 2 && (best_ms == 0 || ms < best_ms)) best_ms = ms;
    }
    *bytes_per_second = 2.0 * static_cast<double>(n * sizeof(uint4)) / (static_cast<double>(best_ms) * 1e-3);
    return 0;
}

TENPAK_EXPORT int tenpak_cuda_rms_norm(int32_t index, const uint16_t* x, const uint16_t* weight, float eps, uint32_t rows, uint32_t columns, uint16_t* y,
                                       char* error, size_t error_size) {
    TENPAK_TRY("cannot choose the device", cudaSetDevice(index));
    if (rows == 0 || columns == 0) return fail("RMSNorm", cudaErrorInvalidValue, error, error_size);
    const size_t bytes = static_cast<size_t>(rows) * columns * sizeof(uint16_t), weight_bytes = columns * sizeof(uint16_t);
    Buffer dx, dw, dy;
    TENPAK_TRY("cannot allocate device memory", dx.allocate(bytes));
    TENPAK_TRY("cannot allocate device memory", dw.allocate(weight_bytes));
    TENPAK_TRY("cannot allocate device memory", dy.allocate(bytes));
    TENPAK_TRY("cannot copy to the device", cudaMemcpy(dx.as<void>(), x, bytes, cudaMemcpyHostToDevice));
    TENPAK_TRY("cannot copy to the device", cudaMemcpy(dw.as<void>(), weight, weight_bytes, cudaMemcpyHostToDevice));
    rms_norm_kernel<<<rows, kBlock>>>(dx.as<__nv_bfloat16>(), dw.as<__nv_bfloat16>(), eps, columns, dy.as<__nv_bfloat16>());
    TENPAK_TRY("cannot start the RMSNorm kernel", cudaGetLastError());
    TENPAK_TRY("the RMSNorm kernel failed", cudaDeviceSynchronize());
    TENPAK_TRY("cannot copy from the device", cudaMemcpy(y, dy.as<void>(), bytes, cudaMemcpyDeviceToHost));
    return 0;
}

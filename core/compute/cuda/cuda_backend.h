// SPDX-License-Identifier: Apache-2.0
// Backend on an NVIDIA GPU: gathers the operations of a step as commands and hands them to the module tenpak_cuda when a result
// is wanted (download, synchronize), so that a decode step is one CUDA graph. For worker processes only (loader.h).
//
// Precision, sums always in fp32 (int32 for int8 x int8):
//   fp32, bf16, fp16    up to 4 tokens activations in fp32; more: rounded to bf16 (bf16 weights) or fp16 (fp16), cuBLASLt
//   int4, int8 group,   activations in fp16 relative to a power of two per token; above 32 tokens weights in fp16, too
//   int4+int2, +sparse
//   nf4                 the same; its 16 values and its scales are rounded to fp16 at any number of tokens
//   int8 per channel    activations quantized per token to int8, as on the CPU; outliers (LLM.int8) in fp32
//   fp8                 activations rounded per token to e4m3, products exact
//   Gram matrices       fp32
//   attention           decode fp32; prefill queries, keys, values and weights rounded to fp16
#pragma once
#include <memory>

#include "core/compute/backend.h"
#include "core/compute/cuda/commands.h"
#include "core/compute/cuda/loader.h"
#include "core/compute/devices.h"

namespace tenpak::compute {

class CudaBackend : public Backend, public DeviceMemory {
   public:
    /// What the session holds on the device now, and at most held.
    virtual Result<tenpak_cuda_memory_use> memory() const = 0;
};

/// Opens the module and a session. kUnsupported with the reason (no driver, no module, no such device).
Result<std::unique_ptr<CudaBackend>> make_cuda_backend(int device);
/// The same over given functions; they must outlive it (tests run the kernels on the host). `description`: of the device.
Result<std::unique_ptr<CudaBackend>> make_cuda_backend(const tenpak_cuda_compute& functions, int device, const std::string& description);

/// "cuda" is device 0, "cuda:2" device 2; nothing for "cpu" and what is none of these.
bool is_cuda_device(const std::string& name);
/// kInvalidArgument: not a device's name.
Result<int> cuda_device_index(const std::string& name);

}  // namespace tenpak::compute

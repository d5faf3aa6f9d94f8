// SPDX-License-Identifier: Apache-2.0
// Opens the module tenpak_cuda where there is an NVIDIA driver. To be called in worker processes only: a fault in the
// driver or a kernel then ends one trial and not the caller.
#pragma once
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "core/base/error.h"
#include "core/compute/cuda/commands.h"
#include "core/compute/cuda/weight_block.h"

namespace tenpak::compute {

struct CudaDevice {
    std::string name;            ///< "NVIDIA H100 80GB HBM3"
    int sm_major = 0, sm_minor = 0, multiprocessors = 0;
    std::uint64_t memory_bytes = 0, free_bytes = 0;
};

class CudaModule;

/// Memory on a device. Must not outlive its module.
class CudaMemory {
   public:
    CudaMemory() = default;
    CudaMemory(CudaMemory&& o) noexcept { *this = std::move(o); }
    CudaMemory& operator=(CudaMemory&& o) noexcept;
    ~CudaMemory();
    std::uint64_t bytes() const { return bytes_; }
    int device() const { return device_; }
    void* get() const { return memory_; }

   private:
    friend class CudaModule;
    const CudaModule* module_ = nullptr;
    int device_ = 0;
    void* memory_ = nullptr;
    std::uint64_t bytes_ = 0;
};

class CudaModule {
   public:
    /// kUnsupported with the reason in words: "no NVIDIA driver found: running on the CPU", or the module is not there.
    /// Looked for: $TENPAK_CUDA_MODULE, beside this program, ../lib/tenpak beside its folder.
    static Result<std::unique_ptr<CudaModule>> open();
    ~CudaModule();
    CudaModule(const CudaModule&) = delete;
    CudaModule& operator=(const CudaModule&) = delete;

    int driver_version() const;   ///< 13000 is 13.0
    int runtime_version() const;
    const std::vector<CudaDevice>& devices() const;
    /// Bytes read plus written per second by a copy over `bytes` of device memory.
    Result<double> copy_bandwidth(int device, std::uint64_t bytes) const;
    /// Runs the module's kernels on random input and compares with the CPU. kNumeric with the largest error when they differ.
    Status self_test(int device) const;

    Result<CudaMemory> allocate(int device, std::uint64_t bytes) const;
    /// kInvalidArgument where it does not fit.
    Status upload(CudaMemory& to, std::uint64_t offset, std::span<const std::byte> from) const;
    Status download(const CudaMemory& from, std::uint64_t offset, std::span<std::byte> to) const;
    /// Decodes blocks within the device. All memory on one device; `predictions` and `keys` may be empty where no block
    /// wants them. Returns the kernel's seconds. kInvalidArgument where a block lies outside the memory, kMalformed for a
    /// payload that does not fit its block.
    Result<double> decode_blocks(std::span<const tenpak_weight_block> blocks, const CudaMemory& image, const CudaMemory& predictions, const CudaMemory& keys,
                                 CudaMemory& output) const;

    /// What runs models (cuda_backend.h); valid as long as the module.
    const tenpak_cuda_compute& compute() const;

   private:
    friend class CudaMemory;
    struct Impl;
    explicit CudaModule(std::unique_ptr<Impl> impl);
    std::unique_ptr<Impl> impl_;
};

}  // namespace tenpak::compute

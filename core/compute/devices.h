// SPDX-License-Identifier: Apache-2.0
// A backend by the name of its device, and whether what is to run fits it.
#pragma once
#include <cstdint>
#include <memory>
#include <string>

#include "core/compute/backend.h"
#include "core/compute/cpu/cpu_backend.h"

namespace tenpak::compute {

/// "" and "cpu": the CPU, by `cpu`; "cuda", "cuda:N": the GPU, in worker processes only (cuda/loader.h).
/// Errors: kUnsupported (no driver, no GPU, no CUDA module), kInvalidArgument (no device of this name).
Result<std::unique_ptr<Backend>> make_backend(const std::string& device, const CpuOptions& cpu = {});

/// Of a backend whose device has memory of its own.
class DeviceMemory {
   public:
    virtual ~DeviceMemory() = default;
    virtual std::uint64_t peak_bytes() const = 0;   ///< the most that was in use so far, weights and caches included
    virtual std::uint64_t free_bytes() const = 0;   ///< now, whoever uses the rest
    virtual std::uint64_t total_bytes() const = 0;
    /// Bytes per second that a copy reads plus writes, measured now; 0 where it cannot be.
    virtual double copy_bandwidth() = 0;
};
/// Null for a backend that works in the host's memory.
inline DeviceMemory* device_memory(Backend& backend) { return dynamic_cast<DeviceMemory*>(&backend); }

}  // namespace tenpak::compute

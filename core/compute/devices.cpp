// SPDX-License-Identifier: Apache-2.0
#include "core/compute/devices.h"

#include "core/compute/cpu/cpu_backend.h"
#include "core/compute/cuda/cuda_backend.h"

namespace tenpak::compute {
Result<std::unique_ptr<Backend>> make_backend(const std::string& device, const CpuOptions& cpu) {
    if (device.empty() || device == "cpu") return make_cpu_backend(cpu);
    TENPAK_ASSIGN(const int index, cuda_device_index(device));
    TENPAK_ASSIGN(auto backend, make_cuda_backend(index));
    return std::unique_ptr<Backend>(std::move(backend));
}

}  // namespace tenpak::compute

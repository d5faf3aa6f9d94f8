// SPDX-License-Identifier: Apache-2.0
#include "core/compute/devices.h"

#include <cstdio>

#include "core/compute/cpu/cpu_backend.h"
#include "core/compute/cuda/cuda_backend.h"

namespace tenpak::compute {
namespace {

std::string gigabytes(std::uint64_t bytes) {
    char text[32];
    std::snprintf(text, sizeof text, "%.2f GB", static_cast<double>(bytes) / 1e9);
    return text;
}

}  // namespace

Result<std::unique_ptr<Backend>> make_backend(const std::string& device, unsigned threads) {
    if (device.empty() || device == "cpu") return make_cpu_backend(threads);
    TENPAK_ASSIGN(const int index, cuda_device_index(device));
    TENPAK_ASSIGN(auto backend, make_cuda_backend(index));
    return std::unique_ptr<Backend>(std::move(backend));
}

Status check_fits(const MemoryNeed& need, std::uint64_t free_bytes, std::uint64_t total_bytes, const std::string& device) {
    if (need.total() <= free_bytes) return {};
    return make_error(ErrorCode::kOutOfMemory,
                      "the model needs " + gigabytes(need.total()) + " (weights " + gigabytes(need.weights) + ", KV cache " + gigabytes(need.kv_cache) + ", workspace " + gigabytes(need.workspace) + "), " +
                          device + " has " + gigabytes(free_bytes) + " free of " + gigabytes(total_bytes),
                      {}, "Use a smaller candidate, context or batch, another GPU (--device cuda:N), or --device cpu");
}

}  // namespace tenpak::compute

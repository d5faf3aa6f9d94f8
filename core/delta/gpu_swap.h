// SPDX-License-Identifier: Apache-2.0
// Hot swap of a fine-tune in GPU memory: the base stays resident on the device; stored blocks are uploaded as they are and
// decoded there. Only worker processes use it (they alone open the CUDA module).
#pragma once
#include <span>
#include <vector>

#include "core/base/error.h"
#include "core/base/hash.h"
#include "core/compute/cuda/loader.h"
#include "core/delta/gpu_blocks.h"

namespace tenpak::delta {

struct SwapTimes {
    double upload_seconds = 0;  ///< of the image, wall clock
    double decode_seconds = 0;  ///< of the kernel, by events on the device
};

/// Not thread-safe. Must not outlive the module.
class GpuSwap {
   public:
    /// Uploads what blocks are predicted from: all of the base's weights in one buffer, and keys where predictions have
    /// them. A predictor on the device may write into predictions() and keys() instead of a second upload.
    static Result<GpuSwap> open(const compute::CudaModule& module, int device, std::span<const std::byte> predictions, std::span<const std::uint8_t> keys = {});
    /// Replaces what was decoded before. The buffers grow as needed and are kept.
    Result<SwapTimes> swap(const GpuImage& image);
    /// Downloads every block of the last swap and compares its SHA-256: kIntegrity with the first that differs.
    Status verify(const GpuImage& image, std::span<const Digest> expected) const;

    const compute::CudaMemory& output() const { return output_; }
    compute::CudaMemory& predictions() { return predictions_; }
    compute::CudaMemory& keys() { return keys_; }

   private:
    GpuSwap(const compute::CudaModule& module, int device) : module_(&module), device_(device) {}
    const compute::CudaModule* module_;
    int device_;
    compute::CudaMemory predictions_, keys_, image_, output_;
};

}  // namespace tenpak::delta

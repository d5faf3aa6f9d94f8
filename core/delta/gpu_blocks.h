// SPDX-License-Identifier: Apache-2.0
// Stored blocks made ready for the GPU (core/compute/cuda/weight_block.h): models read and checked here, on the CPU, and
// written as small tables; words as they are. One image for many blocks, uploaded in one piece.
#pragma once
#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "core/base/error.h"
#include "core/base/file.h"
#include "core/compute/cuda/weight_block.h"
#include "core/tensor/dtype.h"

namespace tenpak::delta {

struct GpuImage {
    std::vector<tenpak_weight_block> blocks;
    Bytes bytes;
    std::uint64_t output_bytes = 0;
};

/// Where a block's prediction lies in the buffers on the GPU. Without keys `keys_offset` is of no meaning.
struct GpuPrediction {
    std::uint64_t offset = 0;
    std::uint64_t keys_offset = 0;
    bool predicted = false, keyed = false;
};

/// Appends a block that decodes to `raw_bytes` at the end of the output. Codecs: "identical", "raw", "difference",
/// "standalone"; kUnsupported for others, which the caller decodes on the CPU and appends as "raw". `stored` may be
/// hostile: kMalformed.
Status append_gpu_block(GpuImage& image, std::string_view codec, std::span<const std::byte> stored, std::uint64_t raw_bytes, const GpuPrediction& prediction);

/// The kernel's algorithm, lane by lane on the CPU. For tests, and to see what a GPU would say. Buffers as on the GPU.
Status run_gpu_image_on_host(const GpuImage& image, std::span<const std::byte> predictions, std::span<const std::uint8_t> keys, std::span<std::byte> output);

}  // namespace tenpak::delta

// SPDX-License-Identifier: Apache-2.0
#include "core/delta/gpu_swap.h"

#include <chrono>

namespace tenpak::delta {

Result<GpuSwap> GpuSwap::open(const compute::CudaModule& module, int device, std::span<const std::byte> predictions, std::span<const std::uint8_t> keys) {
    GpuSwap s(module, device);
    TENPAK_ASSIGN(s.predictions_, module.allocate(device, predictions.size()));
    TENPAK_ASSIGN(s.keys_, module.allocate(device, keys.size()));
    TENPAK_RETURN_IF_ERROR(module.upload(s.predictions_, 0, predictions));
    TENPAK_RETURN_IF_ERROR(module.upload(s.keys_, 0, std::as_bytes(keys)));
    return s;
}

Result<SwapTimes> GpuSwap::swap(const GpuImage& image) {
    if (image_.bytes() < image.bytes.size()) {
        image_ = {};  // given back before more is asked for
        TENPAK_ASSIGN(image_, module_->allocate(device_, image.bytes.size()));
    }
    if (output_.bytes() < image.output_bytes) {
        output_ = {};
        TENPAK_ASSIGN(output_, module_->allocate(device_, image.output_bytes));
    }
    SwapTimes times;
    const auto start = std::chrono::steady_clock::now();
    TENPAK_RETURN_IF_ERROR(module_->upload(image_, 0, image.bytes));
    times.upload_seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
    TENPAK_ASSIGN(times.decode_seconds, module_->decode_blocks(image.blocks, image_, predictions_, keys_, output_));
    return times;
}

Status GpuSwap::verify(const GpuImage& image, std::span<const Digest> expected) const {
    if (expected.size() != image.blocks.size()) return make_error(ErrorCode::kInvalidArgument, "there is not one hash for each block");
    Bytes block;
    for (std::size_t i = 0; i < expected.size(); ++i) {
        block.resize(static_cast<std::size_t>(image.blocks[i].bytes));
        TENPAK_RETURN_IF_ERROR(module_->download(output_, image.blocks[i].output_offset, block));
        if (sha256(block) != expected[i]) return make_error(ErrorCode::kIntegrity, "a block decoded on the GPU has another hash than its record says", "block " + std::to_string(i));
    }
    return {};
}

}  // namespace tenpak::delta

// SPDX-License-Identifier: Apache-2.0
#include "core/compute/buffer.h"

namespace tenpak::compute {

void Buffer::free() {
    if (data_ != nullptr) backend_->release(data_);
    data_ = nullptr;
    capacity_ = 0;
}

Status Buffer::reserve(std::size_t floats) {
    if (floats <= capacity_) return {};
    free();
    data_ = backend_->allocate(floats);
    if (data_ == nullptr) {
        return make_error(ErrorCode::kOutOfMemory, "no memory for " + std::to_string(floats * sizeof(float)) + " bytes on " + backend_->name(), {},
                          "Use a smaller context or batch, or a smaller candidate");
    }
    capacity_ = floats;
    return {};
}

Status Buffer::assign(std::span<const float> host) {
    TENPAK_RETURN_IF_ERROR(reserve(host.size()));
    return host.empty() ? Status() : backend_->upload(host.data(), host.size(), data_);
}

}  // namespace tenpak::compute

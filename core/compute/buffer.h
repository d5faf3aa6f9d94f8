// SPDX-License-Identifier: Apache-2.0
// Memory of a backend with an owner. Not thread-safe.
#pragma once
#include <span>
#include <utility>

#include "core/compute/backend.h"

namespace tenpak::compute {

/// Grows and never shrinks; the backend must outlive it.
class Buffer {
   public:
    explicit Buffer(Backend& backend) : backend_(&backend) {}
    Buffer(Buffer&& other) noexcept : backend_(other.backend_), data_(std::exchange(other.data_, nullptr)), capacity_(std::exchange(other.capacity_, 0)) {}
    Buffer& operator=(Buffer&& other) noexcept {
        std::swap(backend_, other.backend_);
        std::swap(data_, other.data_);
        std::swap(capacity_, other.capacity_);
        return *this;
    }
    ~Buffer() {
        if (data_ != nullptr) backend_->release(data_);
    }

    /// Room for `floats`; contents are lost when it grows. kOutOfMemory.
    Status reserve(std::size_t floats);
    /// The host's values, as the backend's.
    Status assign(std::span<const float> host);
    void free();  ///< gives the memory back

    float* data() { return data_; }
    const float* data() const { return data_; }
    std::size_t capacity() const { return capacity_; }  ///< floats
    std::uint64_t bytes() const { return std::uint64_t{capacity_} * sizeof(float); }

   private:
    Backend* backend_;
    float* data_ = nullptr;
    std::size_t capacity_ = 0;
};

}  // namespace tenpak::compute

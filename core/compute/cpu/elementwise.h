// SPDX-License-Identifier: Apache-2.0
// Norms, activations and sums of one instruction-set level (elementwise.inc). Pure and thread-safe.
#pragma once
#include <cstddef>

#include "core/compute/backend.h"

namespace tenpak::compute::cpu {

struct Elementwise {
    void (*rms_norm)(const float* x, const float* weight, float eps, std::size_t dim, float* y, bool unit_offset);
    void (*layer_norm)(const float* x, const float* weight, const float* bias, float eps, std::size_t dim, float* y);
    /// `up` null: no factor.
    void (*activation)(Activation kind, const float* gate, const float* up, std::size_t n, float* out);
    void (*add)(float* x, const float* y, std::size_t n);
    void (*scale)(float* x, std::size_t n, float factor);
    void (*softcap)(float* x, std::size_t n, float cap);
};

}  // namespace tenpak::compute::cpu

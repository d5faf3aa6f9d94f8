// SPDX-License-Identifier: Apache-2.0
// bf16 products by oneDNN, which has kernels for the AMX tile unit. Only where this was built with oneDNN; chosen at run
// time only where the CPU has AMX (on others kernels_bf16 is as fast), or by the tests.
#pragma once
#include <cstdint>
#include <memory>

#include "core/base/thread_pool.h"
#include "core/compute/linear_weight.h"

namespace tenpak::compute::cpu {

/// Whether this program was built with oneDNN.
bool has_onednn();

/// A bf16 weight a second time, in the layout that oneDNN prefers, cut into a slice of rows a thread.
class OneDnnProduct {
   public:
    virtual ~OneDnnProduct() = default;
    virtual std::uint64_t bytes() const = 0;
    /// y[tokens][n] = x[tokens][k] W^T (+ bias), x rounded to bf16. False where oneDNN refuses: y is then undefined.
    virtual bool product(const float* x, std::uint32_t tokens, float* y, ThreadPool& pool) = 0;
};
/// Null where the weight is not bf16, oneDNN is not built in or refuses.
std::unique_ptr<OneDnnProduct> make_onednn_product(const LinearWeight& weight, ThreadPool& pool);

}  // namespace tenpak::compute::cpu

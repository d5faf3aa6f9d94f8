// SPDX-License-Identifier: Apache-2.0
// Second moments of what goes into a linear layer: all that AWQ's searches (optimizer.md 1.3, exact rewrite) and GPTQ
// (1.4) need to know of the calibration text. Memory: 4 k^2 bytes, whatever the number of tokens.
#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "core/base/thread_pool.h"

namespace tenpak::quant {

/// Not thread-safe; add() parallelizes inside. The result does not depend on the number of threads.
class Gram {
   public:
    explicit Gram(std::uint32_t k);

    /// H += x^T x, x[tokens][k].
    void add(const float* x, std::uint32_t tokens, ThreadPool& pool);
    /// Call once after the last add(): fills the lower triangle. kNumeric names `where` if an input was NaN or infinite.
    Status finish(const std::string& where);

    std::uint32_t k() const { return k_; }
    std::uint64_t tokens() const { return tokens_; }
    const float* data() const { return h_.data(); }  ///< [k][k], symmetric
    float at(std::uint32_t i, std::uint32_t j) const { return h_[std::size_t{i} * k_ + j]; }
    /// Mean of |x_c| over the tokens.
    std::vector<float> mean_abs() const;

   private:
    std::uint32_t k_;
    std::uint64_t tokens_ = 0;
    std::vector<float> h_;
    std::vector<double> abs_sum_;
};

/// sum over rows r of d_r H d_r^T, d[rows][k]: the squared error of (W - W') over the tokens behind `gram`.
Result<double> output_error(const float* d, std::uint32_t rows, const Gram& gram, ThreadPool& pool, const JobContext& ctx);

}  // namespace tenpak::quant

// SPDX-License-Identifier: Apache-2.0
// The one dense kernel that calibration needs: fp32 rank-k update, SIMD chosen at run time.
#pragma once
#include <cstddef>

namespace tenpak::quant {

/// C[i][j] += alpha * sum over t < k of A(i, t) * B[t][j], i < m, j < n, with A(i, t) = a[i * a_row + t * a_step] and B, C
/// row-major with row strides ldb, ldc (elements). One thread; the sum runs over t in order in blocks of 256, whatever
/// m and n are, so that a caller may tile C as it likes and gets the same bits. Thread-safe.
void gemm_add(const float* a, std::size_t a_row, std::size_t a_step, const float* b, std::size_t ldb, float* c,
              std::size_t ldc, std::size_t m, std::size_t n, std::size_t k, float alpha);

/// y[i] -= factor * x[i], i < count. Thread-safe.
void subtract_scaled(const float* x, float factor, std::size_t count, float* y);

}  // namespace tenpak::quant

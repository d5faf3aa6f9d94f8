// SPDX-License-Identifier: Apache-2.0
// The dense kernels of low-rank recovery, single precision. Matrices are row-major; the width k of thin ones is a
// multiple of kThin and the padding is zero.
#pragma once
#include <cstddef>
#include <cstdint>

#include "core/delta/float_layout.h"

namespace tenpak::delta {

inline constexpr std::size_t kThin = 16;
inline constexpr std::size_t thin(std::size_t k) { return (k + kThin - 1) / kThin * kThin; }

/// d[i] = fine_tune[i] - base[i]; 0 where either is not finite.
void subtract_weights(const std::byte* base, const std::byte* fine_tune, std::size_t n, FloatKind kind, float* d);
/// y[rows][k] = d[rows][columns] * q[columns][k].
void multiply(const float* d, std::size_t rows, std::size_t columns, const float* q, std::size_t k, float* y);
/// z[columns][k] += d^T[columns][rows] * y[rows][k].
void multiply_transposed_add(const float* d, std::size_t rows, std::size_t columns, const float* y, std::size_t k,
                             float* z);

/// One line (row or column) of a weighted least squares fit: values observed at `index` of the other side's lines.
struct LineFit {
    std::size_t n = 0;
    std::size_t stride = 1;  ///< of the three below: every stride-th value counts, n is before that
    const std::uint32_t* index = nullptr;
    const float* value = nullptr;
    const float* weight = nullptr;  ///< 1 / the expected error of each value
    const float* other = nullptr;   ///< [...][k]
    std::size_t k = 0, rank = 0;
    float model = 0;  ///< error that the other side is thought to make itself, in the unit of 1 / weight
    /// 0: out = argmin of the weighted squares. Else: a step from `out` towards where no value is further from its
    /// prediction than this times its expected error, that is, inside its rounding cell.
    float cell = 0;
    float* out = nullptr;      ///< [k]
    float* scratch = nullptr;  ///< line_scratch(n, k) floats
};
inline std::size_t line_scratch(std::size_t n, std::size_t k) { return n * k + k * k + k; }
void fit_line(const LineFit& f);

}  // namespace tenpak::delta

// SPDX-License-Identifier: Apache-2.0
// Synthetic fine-tunes: w = 0.02 * row * column * N(0,1) with lognormal scales, fine-tune = w + alpha * 0.02 * ... *
// N(0,1), both rounded. Calibrated against published figures of real pairs: alpha .005 .. .05 is usual.
#pragma once
#include <cmath>
#include <cstdint>
#include <cstring>
#include <random>
#include <utility>
#include <vector>

#include "core/base/file.h"
#include "core/base/half.h"
#include "core/tensor/dtype.h"

namespace tenpak::test {

inline void append_weight(Bytes& out, float f, DType t) {
    std::byte b[4];
    std::size_t n = 2;
    if (t == DType::kF32) {
        std::memcpy(b, &f, 4);
        n = 4;
    } else {
        const std::uint16_t h = t == DType::kBF16 ? float_to_bf16(f) : float_to_fp16(f);
        std::memcpy(b, &h, 2);
    }
    out.insert(out.end(), b, b + n);
}
inline float rounded(float f, DType t) {
    return t == DType::kF32 ? f : t == DType::kBF16 ? bf16_to_float(float_to_bf16(f)) : fp16_to_float(float_to_fp16(f));
}

/// Base and fine-tune of rows x columns.
inline std::pair<Bytes, Bytes> synthetic_pair(std::size_t rows, std::size_t columns, double alpha, DType t, unsigned seed = 1) {
    std::mt19937_64 g(seed);
    std::normal_distribution<float> normal(0, 1);
    const auto scales = [&](std::size_t n) {
        std::vector<float> s(n);
        for (auto& x : s) x = std::exp(0.25f * normal(g));
        return s;
    };
    const auto row = scales(rows), column = scales(columns), row_d = scales(rows), column_d = scales(columns);
    std::pair<Bytes, Bytes> p;
    for (std::size_t i = 0; i < rows; ++i) {
        for (std::size_t j = 0; j < columns; ++j) {
            const float w = rounded(0.02f * row[i] * column[j] * normal(g), t);
            append_weight(p.first, w, t);
            append_weight(p.second, w + static_cast<float>(alpha) * 0.02f * row_d[i] * column_d[j] * normal(g), t);
        }
    }
    return p;
}

}  // namespace tenpak::test

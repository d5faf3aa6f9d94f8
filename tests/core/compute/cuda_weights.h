// SPDX-License-Identifier: Apache-2.0
// Random weights in the formats that weights.h does not make, and the product of any weight by what its format says: activations rounded
// as it defines, weights exactly as LinearWeight::dequantize() gives them, in double precision.
#pragma once
#include <algorithm>
#include <numeric>

#include "core/base/float8.h"
#include "tests/core/compute/weights.h"

namespace tenpak::test {

inline constexpr compute::WeightFormat kQuantizedFormats[] = {
    compute::WeightFormat::kInt8Channel, compute::WeightFormat::kInt8Group,  compute::WeightFormat::kInt4Group, compute::WeightFormat::kInt4Residual,
    compute::WeightFormat::kInt4Sparse,  compute::WeightFormat::kNf4Group, compute::WeightFormat::kFp8Channel};

inline bool is_grouped(compute::WeightFormat f) {
    using compute::WeightFormat;
    return f != WeightFormat::kF32 && f != WeightFormat::kBF16 && f != WeightFormat::kF16 && f != WeightFormat::kInt8Channel && f != WeightFormat::kFp8Channel;
}
/// Whether rows and groups of these sizes exist in the format (LinearWeight::validate).
inline bool has_shape(compute::WeightFormat f, std::uint32_t k, std::uint32_t group) {
    using compute::WeightFormat;
    if (f == WeightFormat::kInt4Residual) return k % 4 == 0;
    if (f == WeightFormat::kInt4Sparse) return (group == 0 ? k : group) % 8 == 0;
    return f == WeightFormat::kInt8Channel || f == WeightFormat::kInt8Group || !is_grouped(f) || k % 2 == 0;
}

inline compute::LinearWeight any_weight(compute::WeightFormat format, std::uint32_t n, std::uint32_t k, std::uint32_t group, unsigned seed, bool bias = false) {
    using compute::WeightFormat;
    if (format <= WeightFormat::kInt4Group) return random_weight(format, n, k, group, seed, bias);
    compute::LinearWeight w;
    w.format = format;
    w.n = n;
    w.k = k;
    w.group = is_grouped(format) ? group : 0;
    std::mt19937 rng(seed);
    const std::size_t count = std::size_t{n} * k, groups = w.group == 0 ? n : std::size_t{n} * (k / w.group), size = w.group == 0 ? k : w.group;
    const auto bytes = [&](std::size_t many, unsigned most) {
        std::vector<std::uint8_t> v(many);
        for (auto& b : v) b = static_cast<std::uint8_t>(rng() % (most + 1));
        return v;
    };
    w.codes = bytes(format == WeightFormat::kFp8Channel ? count : count / 2, 255);
    std::uniform_real_distribution<float> scale(0.001f, 0.02f);
    for (std::size_t i = 0; i < groups; ++i) w.scales.push_back(scale(rng));
    if (format == WeightFormat::kInt4Residual || format == WeightFormat::kInt4Sparse)
        for (float& s : w.scales) s = bf16_to_float(float_to_bf16(s));
    if (format == WeightFormat::kInt4Residual) {
        w.low = bytes(count / 4, 255);
        w.zeros = bytes(groups, 63);
        w.symmetric = false;
    } else if (format == WeightFormat::kInt4Sparse) {
        w.low = bytes(count / 8, 255);
        w.multiples = bytes(groups, 14);
        for (auto& m : w.multiples) ++m;
        w.mask.assign(count / 8, 0);
        std::vector<std::size_t> columns(size);
        for (std::size_t g = 0; g < groups; ++g) {
            std::iota(columns.begin(), columns.end(), g * size);
            // Every third group keeps its first columns: the kept ones of a row may lie anywhere.
            if (g % 3 != 0) std::shuffle(columns.begin(), columns.end(), rng);
            for (std::size_t i = 0; i < size / 4; ++i) w.mask[columns[i] / 8] = static_cast<std::uint8_t>(w.mask[columns[i] / 8] | 1 << (columns[i] % 8));
        }
    } else if (format == WeightFormat::kFp8Channel) {
        for (auto& c : w.codes) c = (c & 0x7f) == 0x7f ? 0x3a : c;
    }
    if (bias) w.bias = random_floats(n, seed + 1);
    return w;
}
/// Groups that are no neighbours, as act-order leaves them.
inline void shuffle_groups(compute::LinearWeight& w, unsigned seed) {
    w.group_index.resize(w.k);
    for (std::uint32_t c = 0; c < w.k; ++c) w.group_index[c] = c / w.group;
    std::mt19937 rng(seed);
    std::shuffle(w.group_index.begin(), w.group_index.end(), rng);
}

/// y[tokens][n] of any format.
inline std::vector<double> defined_product(const compute::LinearWeight& w, std::vector<float> x, std::size_t tokens) {
    using compute::WeightFormat;
    const bool int8 = w.format == WeightFormat::kInt8Channel, fp8 = w.format == WeightFormat::kFp8Channel;
    for (std::size_t t = 0; (int8 || fp8) && t < tokens; ++t) {
        const auto outlier = [&](float v) { return w.outlier_threshold > 0 && std::fabs(v) >= w.outlier_threshold; };
        float top = 0;
        for (std::size_t c = 0; c < w.k; ++c) top = std::max(top, outlier(x[t * w.k + c]) ? 0.0f : std::fabs(x[t * w.k + c]));
        for (std::size_t c = 0; c < w.k; ++c) {
            float& v = x[t * w.k + c];
            if (outlier(v)) continue;
            if (top == 0) {
                v = 0;
            } else if (int8) {
                v = std::nearbyint(v * (127.0f / top)) * (top / 127.0f);
            } else {
                v = e4m3_to_float(float_to_e4m3(v * (kE4m3Max / top))) * (top / kE4m3Max);
            }
        }
    }
    const std::vector<float> dense = w.dequantize();
    std::vector<double> y(tokens * w.n);
    for (std::size_t t = 0; t < tokens; ++t) {
        for (std::size_t r = 0; r < w.n; ++r) {
            double s = w.bias.empty() ? 0.0 : double{w.bias[r]};
            for (std::size_t c = 0; c < w.k; ++c) s += double{dense[r * w.k + c]} * double{x[t * w.k + c]};
            y[t * w.n + r] = s;
        }
    }
    return y;
}

}  // namespace tenpak::test

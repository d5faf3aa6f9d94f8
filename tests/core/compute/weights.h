// SPDX-License-Identifier: Apache-2.0
// Random weights in every format, and a plain double-precision product to compare kernels with.
#pragma once
#include <cmath>
#include <random>
#include <vector>

#include "core/base/half.h"
#include "core/compute/linear_weight.h"

namespace tenpak::test {

inline std::vector<float> random_floats(std::size_t n, unsigned seed, float sigma = 1) {
    std::mt19937 rng(seed);
    std::normal_distribution<float> d(0, sigma);
    std::vector<float> v(n);
    for (float& f : v) f = d(rng);
    return v;
}

/// Random codes, scales exact in bf16, asymmetric zeros for int4.
inline compute::LinearWeight random_weight(compute::WeightFormat format, std::uint32_t n, std::uint32_t k, std::uint32_t group, unsigned seed,
                                           bool bias = false) {
    using compute::WeightFormat;
    compute::LinearWeight w;
    w.format = format;
    w.n = n;
    w.k = k;
    std::mt19937 rng(seed);
    const std::size_t count = std::size_t{n} * k;
    const auto values = random_floats(count, seed, 0.05f);
    if (format == WeightFormat::kF32) w.f32 = values;
    if (format == WeightFormat::kBF16 || format == WeightFormat::kF16) {
        for (const float f : values) w.half.push_back(format == WeightFormat::kBF16 ? float_to_bf16(f) : float_to_fp16(f));
    }
    const bool grouped = format == WeightFormat::kInt8Group || format == WeightFormat::kInt4Group;
    if (grouped) w.group = group;
    if (grouped || format == WeightFormat::kInt8Channel) {
        w.codes.resize(format == WeightFormat::kInt4Group ? count / 2 : count);
        for (auto& c : w.codes) c = static_cast<std::uint8_t>(rng());
        if (format == WeightFormat::kInt8Channel) {
            for (auto& c : w.codes) c = c == 0x80 ? 0x81 : c;
        }
        const std::size_t groups = n * (w.group == 0 ? 1 : k / w.group);
        std::uniform_real_distribution<float> scale(0.001f, 0.02f);
        for (std::size_t i = 0; i < groups; ++i) w.scales.push_back(bf16_to_float(float_to_bf16(scale(rng))));
        if (format == WeightFormat::kInt4Group) {
            w.symmetric = false;
            for (std::size_t i = 0; i < groups; ++i) w.zeros.push_back(static_cast<std::uint8_t>(rng() % 16));
        }
    }
    if (bias) w.bias = random_floats(n, seed + 1);
    return w;
}

/// y[tokens][n] in double; for int8 per channel the activations are quantized as the format defines.
inline std::vector<double> reference_linear(const compute::LinearWeight& w, std::vector<float> x, std::size_t tokens) {
    if (w.format == compute::WeightFormat::kInt8Channel) {
        for (std::size_t t = 0; t < tokens; ++t) {
            float top = 0;
            for (std::size_t c = 0; c < w.k; ++c) top = std::max(top, std::fabs(x[t * w.k + c]));
            for (std::size_t c = 0; c < w.k; ++c) {
                float& v = x[t * w.k + c];
                v = top > 0 ? std::nearbyint(v * (127.0f / top)) * (top / 127.0f) : 0;
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

/// ||a - b|| / ||b||.
template <class A, class B>
double relative_error(const A& a, const B& b) {
    double d = 0, n = 0;
    for (std::size_t i = 0; i < b.size(); ++i) {
        const double x = static_cast<double>(a[i]), y = static_cast<double>(b[i]);
        d += (x - y) * (x - y);
        n += y * y;
    }
    return n > 0 ? std::sqrt(d / n) : std::sqrt(d);
}

}  // namespace tenpak::test

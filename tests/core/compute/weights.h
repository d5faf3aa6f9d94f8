// SPDX-License-Identifier: Apache-2.0
// Random weights in every format, and a plain double-precision product to compare kernels with.
#pragma once
#include <algorithm>
#include <cmath>
#include <numeric>
#include <random>
#include <vector>

#include "core/base/float8.h"
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

/// The signed dynamic 8-bit map of double quantization, ascending, worked out from its description (optimizer.md 4.6).
inline std::vector<float> dynamic_map_8bit() {
    std::vector<float> m = {0.0f, 1.0f};
    for (int level = 0; level < 7; ++level) {
        const double width = 0.9 / (1 << level);
        for (int j = 0; j < 1 << level; ++j) {
            const auto v = static_cast<float>(std::pow(10.0, level - 6) * (0.1 + width * j + width / 2));
            m.insert(m.end(), {v, -v});
        }
    }
    std::sort(m.begin(), m.end());
    return m;
}

/// Gives an nf4 weight scales of double quantization.
inline void nest_scales(compute::LinearWeight& w, unsigned seed) {
    const std::vector<float> map = dynamic_map_8bit();
    std::mt19937 rng(seed);
    w.nested_offset = 0.05f;
    w.scale_codes.resize(w.scales.size());
    w.nested_scales.resize((w.scales.size() + 255) / 256);
    for (float& s : w.nested_scales) s = 0.01f + 0.02f * static_cast<float>(rng() % 1000) / 1000;
    for (std::size_t i = 0; i < w.scales.size(); ++i) {
        w.scale_codes[i] = static_cast<std::uint8_t>(rng());
        w.scales[i] = map[w.scale_codes[i]] * w.nested_scales[i / 256] + w.nested_offset;
    }
}

/// Gives a grouped weight groups whose columns are no neighbours.
inline void shuffle_groups(compute::LinearWeight& w, unsigned seed) {
    std::mt19937 rng(seed);
    const std::uint32_t size = w.group == 0 ? w.k : w.group;
    w.group_index.resize(w.k);
    for (std::uint32_t c = 0; c < w.k; ++c) w.group_index[c] = c / size;
    std::shuffle(w.group_index.begin(), w.group_index.end(), rng);
}

/// Random codes, scales exact in bf16 (nf4, fp8: fp32), asymmetric zeros for int4 and int4+int2.
inline compute::LinearWeight random_weight(compute::WeightFormat format, std::uint32_t n, std::uint32_t k, std::uint32_t group, unsigned seed,
                                           bool bias = false) {
    using compute::WeightFormat;
    compute::LinearWeight w;
    w.format = format;
    w.n = n;
    w.k = k;
    std::mt19937 rng(seed);
    const std::size_t count = std::size_t{n} * k;
    const auto values = random_floats(format <= WeightFormat::kF16 ? count : 0, seed, 0.05f);
    if (format == WeightFormat::kF32) w.f32 = values;
    if (format == WeightFormat::kBF16 || format == WeightFormat::kF16) {
        for (const float f : values) w.half.push_back(format == WeightFormat::kBF16 ? float_to_bf16(f) : float_to_fp16(f));
    }
    const bool per_row = format == WeightFormat::kInt8Channel || format == WeightFormat::kFp8Channel;
    const bool grouped = !per_row && format > WeightFormat::kF16;
    const bool bytes = per_row || format == WeightFormat::kInt8Group;
    if (grouped) w.group = group;
    if (grouped || per_row) {
        w.codes.resize(bytes ? count : count / 2);
        for (auto& c : w.codes) c = static_cast<std::uint8_t>(rng());
        if (format == WeightFormat::kInt8Channel) {
            for (auto& c : w.codes) c = c == 0x80 ? 0x81 : c;
        }
        if (format == WeightFormat::kFp8Channel) {
            for (auto& c : w.codes) c = (c & 0x7f) == 0x7f ? c & 0xfe : c;
        }
        const std::size_t groups = n * (w.group == 0 ? 1 : k / w.group), size = w.group == 0 ? k : w.group;
        std::uniform_real_distribution<float> scale(0.001f, 0.02f);
        for (std::size_t i = 0; i < groups; ++i) w.scales.push_back(bf16_to_float(float_to_bf16(scale(rng))));
        if (format == WeightFormat::kNf4Group || format == WeightFormat::kFp8Channel) {
            for (float& s : w.scales) s *= 1.0f + 1e-5f * static_cast<float>(rng() % 100);
        }
        if (format == WeightFormat::kInt4Group || format == WeightFormat::kInt4Residual) {
            w.symmetric = false;
            for (std::size_t i = 0; i < groups; ++i) w.zeros.push_back(static_cast<std::uint8_t>(rng() % (format == WeightFormat::kInt4Group ? 16 : 64)));
        }
        if (format == WeightFormat::kInt4Residual) {
            w.low.resize(count / 4);
            for (auto& b : w.low) b = static_cast<std::uint8_t>(rng());
        }
        if (format == WeightFormat::kInt4Sparse) {
            w.low.resize(count / 8);
            for (auto& b : w.low) b = static_cast<std::uint8_t>(rng());
            w.mask.resize(count / 8);
            std::vector<std::size_t> columns(size);
            for (std::size_t g = 0; g < groups; ++g) {
                w.multiples.push_back(static_cast<std::uint8_t>(1 + rng() % 15));
                std::iota(columns.begin(), columns.end(), g * size);
                std::shuffle(columns.begin(), columns.end(), rng);
                for (std::size_t i = 0; i < size / 4; ++i) w.mask[columns[i] / 8] = static_cast<std::uint8_t>(w.mask[columns[i] / 8] | 1 << columns[i] % 8);
            }
        }
    }
    if (bias) w.bias = random_floats(n, seed + 1);
    return w;
}

/// y[tokens][n] in double; activations are rounded where the format says so (int8 per channel: outliers are not; fp8).
inline std::vector<double> reference_linear(const compute::LinearWeight& w, std::vector<float> x, std::size_t tokens) {
    const bool int8 = w.format == compute::WeightFormat::kInt8Channel, fp8 = w.format == compute::WeightFormat::kFp8Channel;
    for (std::size_t t = 0; t < tokens && (int8 || fp8); ++t) {
        const auto exact = [&](float v) { return w.outlier_threshold > 0 && std::fabs(v) >= w.outlier_threshold; };
        float top = 0;
        for (std::size_t c = 0; c < w.k; ++c) top = exact(x[t * w.k + c]) ? top : std::max(top, std::fabs(x[t * w.k + c]));
        for (std::size_t c = 0; c < w.k; ++c) {
            float& v = x[t * w.k + c];
            if (exact(v)) continue;
            if (fp8) v = top > 0 ? e4m3_to_float(float_to_e4m3(v * (448.0f / top))) * (top / 448.0f) : 0;
            else v = top > 0 ? std::nearbyint(v * (127.0f / top)) * (top / 127.0f) : 0;
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

// SPDX-License-Identifier: Apache-2.0
#include "core/delta/nf4.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <vector>

#include "core/base/nf4.h"

namespace tenpak::delta {

namespace {

/// NaNs do not count; an infinity does.
float largest_magnitude(const float* w, std::size_t n) {
    float most = 0;
    for (std::size_t i = 0; i < n; ++i) {
        const float a = std::fabs(w[i]);
        most = a > most ? a : most;
    }
    return most;
}

void quantize_block(const float* w, std::size_t n, float magnitude, float scale, float* out) {
    if (!(magnitude > 0) || !std::isfinite(magnitude) || !std::isfinite(scale)) {
        std::fill_n(out, n, 0.0f);
        return;
    }
    const float inverse = 1.0f / magnitude;
    constexpr std::size_t kRun = 32;  // two loops, of which the compiler makes vectors of the first
    std::array<std::uint32_t, kRun> level{};
    for (std::size_t at = 0; at < n; at += kRun) {
        const std::size_t size = std::min(kRun, n - at);
        std::array<float, kRun> x{};
        for (std::size_t i = 0; i < size; ++i) x[i] = w[at + i] * inverse;
        level.fill(0);
        for (const float m : kNf4Middles)  // how many middles lie below x
            for (std::size_t i = 0; i < kRun; ++i) level[i] += x[i] > m ? 1u : 0u;
        for (std::size_t i = 0; i < size; ++i) out[at + i] = kNf4Levels[level[i]] * scale;
    }
}

}  // namespace

void nf4_round_trip(const float* weights, std::size_t n, const Nf4& format, float* out) {
    const std::size_t block = format.block;
    if (format.nested == 0) {
        for (std::size_t at = 0; at < n; at += block) {
            const std::size_t size = std::min(block, n - at);
            const float magnitude = largest_magnitude(weights + at, size);
            quantize_block(weights + at, size, magnitude, magnitude, out + at);
        }
        return;
    }
    std::vector<float> magnitudes, centred;
    for (std::size_t begin = 0; begin < n; begin += format.group()) {
        const std::size_t end = std::min<std::size_t>(n, begin + format.group());
        magnitudes.clear();
        centred.clear();
        for (std::size_t at = begin; at < end; at += block) {
            magnitudes.push_back(largest_magnitude(weights + at, std::min(block, end - at)));
            centred.push_back((std::isfinite(magnitudes.back()) ? magnitudes.back() : 0.0f) - format.mean);
        }
        const float most = largest_magnitude(centred.data(), centred.size());
        const float inverse = most > 0 ? 1.0f / most : 0.0f;
        for (std::size_t b = 0; b < magnitudes.size(); ++b) {
            const float product = dynamic_levels()[dynamic_code(centred[b] * inverse)] * most;
            const std::size_t at = begin + b * block;
            quantize_block(weights + at, std::min(block, end - at), magnitudes[b], product + format.mean, out + at);
        }
    }
}

void nf4_add_magnitudes(const float* weights, std::size_t n, std::uint32_t block, double& sum, std::uint64_t& blocks) {
    for (std::size_t at = 0; at < n; at += block) {
        const float magnitude = largest_magnitude(weights + at, std::min<std::size_t>(block, n - at));
        if (std::isfinite(magnitude)) sum += static_cast<double>(magnitude);
        ++blocks;
    }
}

}  // namespace tenpak::delta

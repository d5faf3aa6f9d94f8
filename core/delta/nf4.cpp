// SPDX-License-Identifier: Apache-2.0
#include "core/delta/nf4.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <vector>

namespace tenpak::delta {

namespace {

/// The paper's appendix E: quantiles of N(0, 1), scaled to [-1, 1], with an exact zero.
constexpr std::array<float, 16> kLevels{-1.0f, -0.6961928009986877f, -0.5250730514526367f, -0.39491748809814453f, -0.28444138169288635f, -0.18477343022823334f,
                                        -0.09105003625154495f, 0.0f, 0.07958029955625534f, 0.16093020141124725f, 0.24611230194568634f, 0.33791524171829224f,
                                        0.44070982933044434f, 0.5626170039176941f, 0.7229568362236023f, 1.0f};

/// Between neighbours, in the order of `levels`; rounded once.
template <std::size_t N>
std::array<float, N - 1> middles(const std::array<float, N>& levels) {
    std::array<float, N - 1> m{};
    for (std::size_t i = 0; i + 1 < N; ++i) m[i] = static_cast<float>((static_cast<double>(levels[i]) + static_cast<double>(levels[i + 1])) / 2);
    return m;
}

/// The 8-bit type of nested magnitudes ("dynamic tree quantization", Dettmers 2015, arXiv 1511.04561): 7 decades, each with
/// twice as many steps as the one below, both signs, 0 and 1.
std::array<float, 256> make_nested_levels() {
    std::array<float, 256> out{};
    std::size_t n = 0;
    for (int decade = 0; decade < 7; ++decade) {
        const int steps = 1 << decade;
        const float step = (1.0f - 0.1f) / static_cast<float>(steps);
        const auto bound = [&](int j) {  // product and sum are exact in binary64
            return j < (steps + 1) / 2 ? static_cast<float>(static_cast<double>(0.1f) + static_cast<double>(step) * j)
                                       : static_cast<float>(1.0 - static_cast<double>(step) * (steps - j));
        };
        const auto scale = static_cast<float>(std::array{1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 1e-1, 1.0}[static_cast<std::size_t>(decade)]);
        for (int k = 0; k < steps; ++k) {
            const float sum = bound(k) + bound(k + 1);
            const float value = scale * (sum / 2);
            out[n++] = value;
            out[n++] = -value;
        }
    }
    out[n++] = 0;
    out[n++] = 1;
    std::sort(out.begin(), out.end());
    return out;
}

const auto kMiddles = middles(kLevels);
const std::array<float, 256> kNestedLevels = make_nested_levels();
const auto kNestedMiddles = middles(kNestedLevels);

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
        for (const float m : kMiddles)  // how many middles lie below x
            for (std::size_t i = 0; i < kRun; ++i) level[i] += x[i] > m ? 1u : 0u;
        for (std::size_t i = 0; i < size; ++i) out[at + i] = kLevels[level[i]] * scale;
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
            const float x = centred[b] * inverse;
            const auto level = static_cast<std::size_t>(std::lower_bound(kNestedMiddles.begin(), kNestedMiddles.end(), x) - kNestedMiddles.begin());
            const float product = kNestedLevels[level] * most;
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

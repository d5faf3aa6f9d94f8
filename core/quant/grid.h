// SPDX-License-Identifier: Apache-2.0
// The uniform grid of a group of weights: w = (code - zero) * scale, code in 0 .. 2^bits - 1 (optimizer.md 1.3, 1.4).
// Scales are rounded to bf16, as they are exported, BEFORE codes are computed, so that codes are the nearest ones to the
// weight for the scale that a serving engine will use.
#pragma once
#include <algorithm>
#include <cmath>
#include <cstdint>

#include "core/base/half.h"

namespace tenpak::quant {

struct GroupFormat {
    unsigned bits = 4;
    std::uint32_t group = 128;  ///< divides k
    bool symmetric = false;     ///< zero is 2^(bits-1) everywhere
    /// Scales below it are raised to it. bf16 values from 2^-17 on are exact in fp16, too: used for fp16 models.
    float min_scale = 0x1p-120f;

    int max_code() const { return (1 << bits) - 1; }
};

struct Grid {
    float scale = 1;
    int zero = 0;
};

/// A scale as it is stored: bf16, at least `min_scale`.
inline float stored_scale(float scale, float min_scale) {
    return std::max(bf16_to_float(float_to_bf16(scale)), min_scale);
}

/// Round half to even of a value below 2^22 in magnitude: adding 1.5 * 2^23 puts the units at the last mantissa bit.
inline float round_even(float x) {
    constexpr float kMagic = 12582912.0f;
    return (x + kMagic) - kMagic;
}

/// Grid for weights in [low, high]. The range is widened to hold 0, so that a zero weight stays exactly zero.
inline Grid grid_of_range(float low, float high, const GroupFormat& f) {
    low = std::min(low, 0.0f);
    high = std::max(high, 0.0f);
    const double levels = f.max_code();  // in double: high - low may not fit a float
    Grid g;
    if (f.symmetric) {
        g.scale = stored_scale(static_cast<float>(2.0 * std::max(-low, high) / levels), f.min_scale);
        g.zero = 1 << (f.bits - 1);
    } else {
        g.scale = stored_scale(static_cast<float>((static_cast<double>(high) - low) / levels), f.min_scale);
        g.zero = static_cast<int>(round_even(std::clamp(-low / g.scale, 0.0f, static_cast<float>(levels))));
    }
    return g;
}

inline Grid fit_grid(const float* w, std::size_t count, const GroupFormat& f) {
    float low = 0, high = 0;
    for (std::size_t i = 0; i < count; ++i) {
        low = std::min(low, w[i]);
        high = std::max(high, w[i]);
    }
    return grid_of_range(low, high, f);
}

/// The nearest code's value. Clamping before rounding is the same as after, for the bounds are whole numbers.
inline float nearest_level(float w, const Grid& g, int max_code) {
    const auto zero = static_cast<float>(g.zero);
    return round_even(std::clamp(w / g.scale, -zero, static_cast<float>(max_code) - zero));
}
inline float nearest_value(float w, const Grid& g, int max_code) { return nearest_level(w, g, max_code) * g.scale; }
inline std::uint8_t nearest_code(float w, const Grid& g, int max_code) {
    return static_cast<std::uint8_t>(static_cast<int>(nearest_level(w, g, max_code)) + g.zero);
}

}  // namespace tenpak::quant

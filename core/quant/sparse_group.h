// SPDX-License-Identifier: Apache-2.0
// A group of kInt4Sparse: which quarter of it keeps 8 bits, and the two grids. The kept ones are those whose rounding to the
// coarse grid would cost most, weighted by what an error of their column does; the coarse step is a whole multiple of the
// fine one, the one that costs least.
#pragma once
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <vector>

#include "core/quant/grid.h"

namespace tenpak::quant {

struct SparseGroup {
    static constexpr std::uint16_t kKept = 0x100;  ///< in a code: the low byte is the 8-bit two's complement
    float scale = 1;                               ///< fine step
    int multiple = 1;                              ///< coarse step in fine ones, 1..15

    /// Chooses scale and multiple for the `f.group` weights that come next.
    void fit(const float* w, const float* weight, const GroupFormat& f, bool) {
        const std::uint32_t size = f.group, quarter = size / 4;
        float top = 0;
        for (std::uint32_t i = 0; i < size; ++i) top = std::max(top, std::fabs(w[i]));
        scale = stored_scale(top / 127, f.min_scale);
        saved_.resize(size);
        float least = -1;
        for (int m = 1; m <= 15; ++m) {
            const float step = scale * static_cast<float>(m);
            float total = 0;
            for (std::uint32_t i = 0; i < size; ++i) {
                const float d = w[i] - coarse(w[i], step) * step;
                saved_[i] = d * d * weight[i];
                total += saved_[i];
            }
            std::nth_element(saved_.begin(), saved_.begin() + (quarter - 1), saved_.end(), std::greater<>());
            for (std::uint32_t i = 0; i < quarter; ++i) total -= saved_[i];
            if (least < 0 || total < least) {
                least = total;
                multiple = m;
                threshold_ = saved_[quarter - 1];
            }
        }
        free_ = quarter;
        left_ = size;
        // Weights beyond the coarse grid's end must not find the quarter taken.
        reserved_ = 0;
        for (std::uint32_t i = 0; i < size; ++i) reserved_ += beyond(w[i]) ? 1u : 0u;
        reserved_ = std::min(reserved_, quarter);
        saved_ = {};
    }
    /// The weights of the group one after the other; errors of earlier ones may have moved them since fit().
    std::uint16_t encode(float w, float weight, int) {
        const float step = scale * static_cast<float>(multiple), level = coarse(w, step), d = w - level * step;
        const bool outside = beyond(w);
        const bool keep = free_ == left_ || (free_ > 0 && (outside || (free_ > reserved_ && d * d * weight >= threshold_)));
        --left_;
        if (outside && reserved_ > 0) --reserved_;
        if (!keep) return static_cast<std::uint16_t>(static_cast<int>(level) + 8);
        --free_;
        const int fine = static_cast<int>(round_even(std::clamp(w / scale, -128.0f, 127.0f)));
        return static_cast<std::uint16_t>(kKept | (static_cast<unsigned>(fine) & 0xffu));
    }
    float decode(std::uint16_t code) const {
        if ((code & kKept) != 0) return static_cast<float>(static_cast<std::int8_t>(code & 0xff)) * scale;
        return static_cast<float>((static_cast<int>(code) - 8) * multiple) * scale;
    }

   private:
    static float coarse(float w, float step) { return round_even(std::clamp(w / step, -8.0f, 7.0f)); }
    bool beyond(float w) const {
        const float level = w / (scale * static_cast<float>(multiple));
        return level > 7.5f || level < -8.5f;
    }
    float threshold_ = 0;
    std::uint32_t free_ = 0, left_ = 0, reserved_ = 0;  // places of the quarter; weights to come; of these beyond the coarse grid
    std::vector<float> saved_;
};

}  // namespace tenpak::quant

// SPDX-License-Identifier: Apache-2.0
#include "core/compute/cpu/rope_table.h"

#include <algorithm>
#include <cmath>

namespace tenpak::compute::cpu {

void RopeTable::prepare(const float* inv_freq, std::size_t half, float factor, const std::uint32_t* positions, std::size_t count) {
    if (inv_freq_.size() != half || factor_ != factor || !std::equal(inv_freq_.begin(), inv_freq_.end(), inv_freq)) {
        inv_freq_.assign(inv_freq, inv_freq + half);
        factor_ = factor;
        table_.clear();
        known_ = 0;
    }
    std::size_t need = 0;
    for (std::size_t i = 0; i < count; ++i) need = std::max<std::size_t>(need, positions[i] + std::size_t{1});
    if (need <= known_) return;
    table_.resize(need * 2 * half);
    for (std::size_t p = known_; p < need; ++p) {
        float* row = table_.data() + p * 2 * half;
        for (std::size_t i = 0; i < half; ++i) {
            // The angle is an fp32 product, as in the reference implementation; its cosine is then exact to fp32.
            const auto angle = static_cast<double>(static_cast<float>(p) * inv_freq_[i]);
            row[i] = static_cast<float>(std::cos(angle)) * factor;
            row[half + i] = static_cast<float>(std::sin(angle)) * factor;
        }
    }
    known_ = need;
}

void RopeTable::rotate(float* x, std::uint32_t position, std::size_t heads, std::size_t half) const {
    const float* cosine = table_.data() + std::size_t{position} * 2 * half;
    const float* sine = cosine + half;
    for (std::size_t h = 0; h < heads; ++h) {
        float* a = x + h * 2 * half;
        float* b = a + half;
        for (std::size_t i = 0; i < half; ++i) {
            const float u = a[i], v = b[i];
            a[i] = u * cosine[i] - v * sine[i];
            b[i] = v * cosine[i] + u * sine[i];
        }
    }
}

}  // namespace tenpak::compute::cpu

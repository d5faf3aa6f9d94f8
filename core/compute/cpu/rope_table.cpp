// SPDX-License-Identifier: Apache-2.0
#include "core/compute/cpu/rope_table.h"

#include <algorithm>
#include <cmath>

namespace tenpak::compute::cpu {

bool RopeTable::is(const float* inv_freq, std::size_t half, float factor) const {
    return inv_freq_.size() == half && factor_ == factor && std::equal(inv_freq_.begin(), inv_freq_.end(), inv_freq);
}

void RopeTable::start(const float* inv_freq, std::size_t half, float factor) {
    inv_freq_.assign(inv_freq, inv_freq + half);
    factor_ = factor;
    table_.clear();
    known_.clear();
}

void RopeTable::add(std::span<const std::uint32_t> positions) {
    const std::size_t half = inv_freq_.size();
    std::size_t need = 0;
    for (const std::uint32_t p : positions) need = std::max<std::size_t>(need, p + std::size_t{1});
    if (need > known_.size()) {
        known_.resize(need, false);
        table_.resize(need * 2 * half);
    }
    for (const std::uint32_t p : positions) {
        if (known_[p]) continue;
        float* row = table_.data() + std::size_t{p} * 2 * half;
        for (std::size_t i = 0; i < half; ++i) {
            // The angle is an fp32 product, as in the reference implementation; its cosine is then exact to fp32.
            const auto angle = static_cast<double>(static_cast<float>(p) * inv_freq_[i]);
            row[i] = static_cast<float>(std::cos(angle)) * factor_;
            row[half + i] = static_cast<float>(std::sin(angle)) * factor_;
        }
        known_[p] = true;
    }
}

void RopeTable::rotate(float* x, std::uint32_t position, std::size_t heads, std::size_t head_dim) const {
    const std::size_t half = inv_freq_.size();
    const float* cosine = table_.data() + std::size_t{position} * 2 * half;
    const float* sine = cosine + half;
    for (std::size_t h = 0; h < heads; ++h) {
        float* a = x + h * head_dim;
        float* b = a + half;
        for (std::size_t i = 0; i < half; ++i) {
            const float u = a[i], v = b[i];
            a[i] = u * cosine[i] - v * sine[i];
            b[i] = v * cosine[i] + u * sine[i];
        }
    }
}

const RopeTable& RopeTables::prepare(const float* inv_freq, std::size_t half, float factor, std::span<const std::uint32_t> positions) {
    for (std::size_t i = 0; i < tables_.size(); ++i) {
        const std::size_t at = (last_ + i) % tables_.size();
        if (!tables_[at].is(inv_freq, half, factor)) continue;
        last_ = at;
        tables_[at].add(positions);
        return tables_[at];
    }
    if (tables_.size() < kTables) {
        last_ = tables_.size();
        tables_.emplace_back();
    } else {
        last_ = (last_ + 1) % kTables;
    }
    tables_[last_].start(inv_freq, half, factor);
    tables_[last_].add(positions);
    return tables_[last_];
}

}  // namespace tenpak::compute::cpu

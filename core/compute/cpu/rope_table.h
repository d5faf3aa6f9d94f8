// SPDX-License-Identifier: Apache-2.0
// Cosines and sines of rotary positions, computed once a position: every layer asks for the same ones.
#pragma once
#include <cstdint>
#include <vector>

namespace tenpak::compute::cpu {

class RopeTable {
   public:
    /// Makes sure that the given positions are there.
    void prepare(const float* inv_freq, std::size_t half, float factor, const std::uint32_t* positions, std::size_t count);
    /// Rotates x[heads][2 half] to `position`: element i with i + half (Hugging Face order).
    void rotate(float* x, std::uint32_t position, std::size_t heads, std::size_t half) const;

   private:
    std::vector<float> inv_freq_;
    float factor_ = 0;
    std::vector<float> table_;  // [position][cos half, sin half]
    std::size_t known_ = 0;
};

}  // namespace tenpak::compute::cpu

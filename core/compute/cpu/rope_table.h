// SPDX-License-Identifier: Apache-2.0
// Cosines and sines of rotary positions, computed once a position: every layer asks for the same ones.
#pragma once
#include <cstdint>
#include <span>
#include <vector>

namespace tenpak::compute::cpu {

/// Of one set of frequencies.
class RopeTable {
   public:
    bool is(const float* inv_freq, std::size_t half, float factor) const;
    void start(const float* inv_freq, std::size_t half, float factor);
    void add(std::span<const std::uint32_t> positions);  ///< makes sure that they are there
    /// Rotates x[heads][head_dim] to `position`: element i of a head with i + half, for i < half.
    void rotate(float* x, std::uint32_t position, std::size_t heads, std::size_t head_dim) const;

   private:
    std::vector<float> inv_freq_;
    float factor_ = 0;
    std::vector<float> table_;  // [position][cos half, sin half]
    std::vector<bool> known_;   // [position]
};

/// A model has one set of frequencies, or a few (long and short contexts); dynamic scaling makes one a context length.
class RopeTables {
   public:
    const RopeTable& prepare(const float* inv_freq, std::size_t half, float factor, std::span<const std::uint32_t> positions);

   private:
    static constexpr std::size_t kTables = 4;
    std::vector<RopeTable> tables_;
    std::size_t last_ = 0;
};

}  // namespace tenpak::compute::cpu

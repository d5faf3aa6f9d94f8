// SPDX-License-Identifier: Apache-2.0
// Activations in the form a weight's kernel wants: padded rows, int8 rows. Buffers are kept between calls.
#pragma once
#include "core/compute/cpu/kernels.h"

namespace tenpak::compute::cpu {

/// x[tokens][k] -> [tokens][w.padded], zeros in the gaps; x itself where there are none.
class PaddedRows {
   public:
    const float* prepare(const Panels& w, const float* x, std::uint32_t tokens);
    std::size_t bytes() const { return rows_.bytes(); }

   private:
    AlignedBuffer<float> rows_;
};

class Int8Quantizer {
   public:
    Int8Rows quantize(const Panels& w, const float* x, std::uint32_t tokens);
    std::size_t bytes() const { return codes_.bytes() + scales_.bytes(); }

   private:
    AlignedBuffer<std::int8_t> codes_;
    AlignedBuffer<float> scales_;
};

}  // namespace tenpak::compute::cpu

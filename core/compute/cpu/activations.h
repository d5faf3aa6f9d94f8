// SPDX-License-Identifier: Apache-2.0
// Activations in the form a weight's kernel wants: padded rows, int8 rows, packed blocks. Buffers are kept between calls.
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

/// x[tokens][k] -> [ceil(tokens / block)][w.padded][block], zeros in the gaps: what Kernels::large takes.
class InterleavedRows {
   public:
    float* prepare(const Panels& w, std::uint32_t tokens, std::uint32_t block);
    /// Fills the block that begins at `token`.
    void fill(const Panels& w, const float* x, std::uint32_t tokens, std::uint32_t token, std::uint32_t block);
    std::size_t bytes() const { return rows_.bytes(); }

   private:
    AlignedBuffer<float> rows_;
};

/// What x becomes before it is packed, for weights that ask for it; [tokens][columns]:
///   order        columns gathered in the weight's order
///   fp8          rounded to e4m3 (to nearest even) with one scale a token, its largest magnitude / 448; `scales` apart where
///                `whole`, else multiplied in
///   outliers     (LLM.int8) magnitudes from the threshold on taken out: zero here, listed in `outliers`. bitsandbytes takes
///                out whole columns of a batch in which one token has an outlier; by token, results do not depend on what
///                else is in the batch, and more is computed in int8, never an outlier
class PreparedRows {
   public:
    static bool needed(const Panels& w) { return !w.order.empty() || w.format == WeightFormat::kFp8Channel || w.outlier_threshold > 0; }
    /// Makes room; then `row` is called once a token, by any thread, then `finish`, by one.
    void prepare(const Panels& w, std::uint32_t tokens, bool whole);
    void row(const Kernels& kernels, const Panels& w, const float* x, std::size_t token);
    void finish(const Panels& w, const float* x, std::uint32_t tokens);
    const float* rows() const { return rows_.data(); }
    const float* scales() const { return scales_.data(); }
    /// Null where no token has any.
    const Outliers* outliers() const { return begin_.empty() || begin_.back() == 0 ? nullptr : &outliers_; }
    std::size_t bytes() const { return rows_.bytes() + scales_.bytes() + begin_.capacity() * sizeof(std::size_t) + columns_.capacity() * 4 + values_.capacity() * 4; }

   private:
    AlignedBuffer<float> rows_, scales_;
    bool whole_ = false;
    std::vector<std::size_t> begin_;  // [tokens + 1]; counts until `finish`
    std::vector<std::uint32_t> columns_;
    std::vector<float> values_;
    Outliers outliers_;
};

/// Makes room, then fills one token's row at a time (by any thread).
class Int8Quantizer {
   public:
    Int8Rows prepare(const Panels& w, std::uint32_t tokens);
    void row(const Panels& w, const float* x, std::size_t token);
    std::size_t bytes() const { return codes_.bytes() + scales_.bytes(); }

   private:
    AlignedBuffer<std::int8_t> codes_;
    AlignedBuffer<float> scales_;
};

/// Room for blocks of packed activations; any thread fills any block (Kernels::pack_integers, pack_bf16).
class IntegerPacker {
   public:
    IntegerBlocks prepare(const Panels& w, std::uint32_t tokens, unsigned parts);
    void fill(const Kernels& kernels, const Panels& w, const float* x, std::uint32_t tokens, unsigned parts, std::size_t block);
    std::size_t bytes() const { return codes_.bytes() + scales_.bytes() + offsets_.bytes(); }

   private:
    AlignedBuffer<std::int8_t> codes_;
    AlignedBuffer<float> scales_;
    AlignedBuffer<std::int32_t> offsets_;
};

class Bf16Packer {
   public:
    Bf16Blocks prepare(const Panels& w, std::uint32_t tokens);
    void fill(const Kernels& kernels, const Panels& w, const float* x, std::uint32_t tokens, std::size_t block);
    std::size_t bytes() const { return values_.bytes(); }

   private:
    AlignedBuffer<std::uint16_t> values_;
};

}  // namespace tenpak::compute::cpu

// SPDX-License-Identifier: Apache-2.0
// How the CPU backend keeps a weight: panels of 16 output rows, the layout that every kernel level reads directly.
// A panel is one address stream; a kernel walks several panels at once, because one stream per core leaves a third of
// the memory bandwidth unused (reference optimizer.md 3.4). The 16-bit and int8 layouts are also AMX's B tile layout.
//
//   fp32        [k][16]                         64 bytes a column
//   bf16        [k/2][16][2]                    64 bytes two columns; k padded to 32 with zeros
//   fp16        [k][16]                         32 bytes a column; k padded to 32 with zeros
//   int8        [k/4][16][4]                    64 bytes four columns; k padded to 64 with zeros
//   fp8         [k/4][16][4]                    the same, a lane's columns in the order 0, 2, 1, 3: the even bytes and the
//                                               odd ones become pairs of bf16; k padded to 32
//   int8 group  per group: header, [gp/4][16][4]
//   int4 group  per group: header, [gp/8][16][4] bytes; byte j of a lane: column j low nibble, column 4+j high nibble
//   nf4         as int4 group
//   int4+int2   per group: header, per 16 columns two blocks as int4's and [16][4] bytes of residuals; byte j of a lane:
//               columns j, 4+j, 8+j, 12+j from the lowest bits up
//   int4+sparse per group: header, [gp/8][16][4] as int4's, masks [gp/4] of 64 bits: bit 4 * lane + j keeps column j of
//               four. The low nibbles of what is kept follow each other in the order of those bits, in the header; each
//               four columns begin on a byte there (at most half a byte of four columns is lost: 1/16 bit a weight)
//
// A group is padded to `gp` columns (a multiple of 8; int4+int2: of 16) by codes equal to the zero point. Its header holds
// 16 scales (bf16 or fp16 when all scales of the weight are exact in it, else fp32) and, behind them, 16 zero points (uint8;
// int4+sparse: multiples) and padding to a cache line; a symmetric weight (int8, or where every zero point is the middle)
// has no zero points there: 4.5 bits a weight with groups of 32. Doubly quantized scales of nf4 stay 8-bit codes, a line
// of them in front of every four groups: 4.13 bits a weight with groups of 64.
//
// Groups that are no neighbours (group_index) are made neighbours: columns are packed in `order`, and activations are
// gathered in that order once a product.
#pragma once
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <string>
#include <vector>

#include "core/base/thread_pool.h"
#include "core/compute/backend.h"
#include "core/compute/cpu/onednn_product.h"

namespace tenpak::compute::cpu {

inline constexpr std::uint32_t kLanes = 16;  ///< output rows a panel

/// On a cache line boundary; large blocks in huge pages where the system grants them. To be freed by std::free.
void* allocate_aligned(std::size_t bytes);

/// Memory on a cache line boundary, not initialized. Empty when the system has none left.
template <class T>
class AlignedBuffer {
   public:
    AlignedBuffer() = default;
    bool resize(std::size_t count) {
        if (count <= size_) return true;
        const std::size_t bytes = (count * sizeof(T) + 63) / 64 * 64;
        data_.reset(static_cast<T*>(allocate_aligned(bytes)));
        size_ = data_ ? count : 0;
        return data_ != nullptr;
    }
    T* data() { return data_.get(); }
    const T* data() const { return data_.get(); }
    std::size_t size() const { return size_; }
    std::size_t bytes() const { return size_ * sizeof(T); }

   private:
    struct Free {
        void operator()(T* p) const { std::free(p); }
    };
    std::unique_ptr<T[], Free> data_;
    std::size_t size_ = 0;
};

enum class ScaleKind : std::uint8_t { kBF16, kF16, kF32, kNested };

class Panels final : public PackedLinear {
   public:
    std::uint32_t n() const override { return rows; }
    std::uint32_t k() const override { return columns; }
    std::uint64_t bytes() const override;
    const char* kernel() const override { return kernel_name.c_str(); }
    bool read_row(std::uint32_t index, float* out) const override;

    const std::uint8_t* panel(std::size_t p) const { return data.data() + p * panel_bytes; }
    bool nested() const { return scale_kind == ScaleKind::kNested; }
    std::size_t scale_bytes() const { return nested() ? 0 : scale_kind == ScaleKind::kF32 ? 64 : 32; }
    /// int4+sparse: of the low nibbles in a header.
    std::size_t low_bytes() const { return std::size_t{group_padded} * 2 + group_padded / 8; }
    std::size_t header_bytes() const {
        if (format == WeightFormat::kInt4Sparse) return (scale_bytes() + kLanes + low_bytes() + 63) / 64 * 64;
        return scale_bytes() * (symmetric ? 1 : 2);
    }
    std::size_t group_bytes() const {
        const std::size_t lanes = std::size_t{group_padded} * kLanes;
        switch (format) {
            case WeightFormat::kInt8Group: return header_bytes() + lanes;
            case WeightFormat::kInt4Residual: return header_bytes() + lanes * 3 / 4;
            case WeightFormat::kInt4Sparse: return header_bytes() + lanes / 2 + (lanes / 8 + 63) / 64 * 64;
            default: return header_bytes() + lanes / 2;
        }
    }
    /// Where a group begins in its panel, and its scales where they are codes.
    std::size_t group_offset(std::size_t g) const {
        return nested() ? g / kNestedGroups * nested_bytes() + kNestedLine + g % kNestedGroups * group_bytes() : g * group_bytes();
    }
    std::size_t scale_code_offset(std::size_t g) const { return g / kNestedGroups * nested_bytes() + g % kNestedGroups * kLanes; }
    static constexpr std::size_t kNestedGroups = 4, kNestedLine = 64;
    std::size_t nested_bytes() const { return kNestedLine + kNestedGroups * group_bytes(); }
    bool grouped() const { return group != 0; }

    WeightFormat format = WeightFormat::kF32;
    std::uint32_t rows = 0, columns = 0;
    std::uint32_t padded = 0;                  ///< columns with padding: the length of a prepared activation row
    std::uint32_t groups = 1, group = 0, group_padded = 0;  ///< group: 0 where a format has none
    std::uint32_t panels = 0;
    ScaleKind scale_kind = ScaleKind::kBF16;
    bool symmetric = true;                     ///< every zero point is 8 (int4), 32 (int4+int2) or 0
    std::size_t panel_bytes = 0;
    AlignedBuffer<std::uint8_t> data;
    bool expand_bytes = false;                 ///< the CPU expands bytes by a mask (VBMI2)
    float outlier_threshold = 0;               ///< int8 per channel: LinearWeight's
    std::vector<float> row_scales;             ///< int8 and fp8, [panels * 16]
    std::vector<std::uint32_t> order;          ///< the column at each position, where they are not in order
    const float* map = nullptr;                ///< kNested: dynamic_levels()
    std::vector<float> nested_scales;          ///< kNested: of 256 scales each, counted row by row, rows of whole panels
    float nested_offset = 0;
    std::vector<std::uint8_t> nested_begins;   ///< kNested: [panels][groups], whether a lane's nested scale is another than a group before
    std::vector<float> bias;                   ///< [panels * 16] or empty
    std::unique_ptr<OneDnnProduct> onednn;     ///< bf16 where the CPU has AMX: what many tokens are multiplied by
    std::string kernel_name;
};

/// Repacks, a panel a task on `pool`. kMalformed (LinearWeight::validate) or kOutOfMemory.
Result<std::unique_ptr<Panels>> pack_panels(const LinearWeight& weight, ThreadPool& pool);

}  // namespace tenpak::compute::cpu

// SPDX-License-Identifier: Apache-2.0
// How the CPU backend keeps a weight: panels of 16 output rows, the layout that every kernel level reads directly.
// A panel is one address stream; a kernel walks several panels at once, because one stream per core leaves a third of
// the memory bandwidth unused (reference optimizer.md 3.4). The 16-bit and int8 layouts are also AMX's B tile layout.
//
//   fp32        [k][16]                         64 bytes a column
//   bf16        [k/2][16][2]                    64 bytes two columns; k padded to 32 with zeros
//   fp16        [k][16]                         32 bytes a column; k padded to 32 with zeros
//   int8        [k/4][16][4]                    64 bytes four columns; k padded to 64 with zeros
//   int8 group  per group: header, [gp/4][16][4]
//   int4 group  per group: header, [gp/8][16][4] bytes; byte j of a lane: column j low nibble, column 4+j high nibble
//
// A group is padded to `gp` columns (a multiple of 8) by codes equal to the zero point. Its header holds 16 scales
// (bf16 or fp16 when all scales of the weight are exact in it, else fp32) and, behind them, 16 zero points (uint8) and
// padding to a cache line; a symmetric weight (int8, or int4 where every zero point is 8) has no zero points there: 4.5
// bits a weight with groups of 32.
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

enum class ScaleKind : std::uint8_t { kBF16, kF16, kF32 };

class Panels final : public PackedLinear {
   public:
    std::uint32_t n() const override { return rows; }
    std::uint32_t k() const override { return columns; }
    std::uint64_t bytes() const override {
        return panel_bytes * panels + (row_scales.size() + row_sums.size() + bias.size()) * 4 + (onednn ? onednn->bytes() : 0);
    }
    const char* kernel() const override { return kernel_name.c_str(); }
    bool read_row(std::uint32_t index, float* out) const override;

    const std::uint8_t* panel(std::size_t p) const { return data.data() + p * panel_bytes; }
    std::size_t header_bytes() const { return (scale_kind == ScaleKind::kF32 ? 64 : 32) * (symmetric ? 1 : 2); }
    std::size_t group_bytes() const {
        return header_bytes() + std::size_t{group_padded} * kLanes / (format == WeightFormat::kInt4Group ? 2 : 1);
    }
    bool grouped() const { return format == WeightFormat::kInt8Group || format == WeightFormat::kInt4Group; }

    WeightFormat format = WeightFormat::kF32;
    std::uint32_t rows = 0, columns = 0;
    std::uint32_t padded = 0;                  ///< columns with padding: the length of a prepared activation row
    std::uint32_t groups = 1, group = 0, group_padded = 0;
    std::uint32_t panels = 0;
    ScaleKind scale_kind = ScaleKind::kBF16;
    bool symmetric = true;                     ///< every zero point is 8 (int4) or 0
    std::size_t panel_bytes = 0;
    AlignedBuffer<std::uint8_t> data;
    std::vector<float> row_scales;             ///< int8 per channel, [panels * 16]
    std::vector<std::int32_t> row_sums;        ///< int8 per channel: sum of a row's codes, [panels * 16]
    std::vector<float> bias;                   ///< [panels * 16] or empty
    std::unique_ptr<OneDnnProduct> onednn;     ///< bf16 where the CPU has AMX: what many tokens are multiplied by
    std::string kernel_name;
};

/// Repacks, a panel a task on `pool`. kMalformed (LinearWeight::validate) or kOutOfMemory.
Result<std::unique_ptr<Panels>> pack_panels(const LinearWeight& weight, ThreadPool& pool);

}  // namespace tenpak::compute::cpu

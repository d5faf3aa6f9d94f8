// SPDX-License-Identifier: Apache-2.0
#include "core/quant/layouts/gguf_blocks.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "core/base/half.h"

namespace tenpak::quant {
namespace {

using compute::LinearWeight;
using compute::WeightFormat;

constexpr std::uint32_t kBlock = 32;

std::uint32_t group_size(const LinearWeight& w) { return w.group == 0 ? w.k : w.group; }
bool centered(const LinearWeight& w) {
    return std::all_of(w.zeros.begin(), w.zeros.end(), [](std::uint8_t z) { return z == 8; });
}

/// Whole numbers of a row: w = number * scale of its group. For INT4 the code, whose zero is told apart.
struct RowNumbers {
    const LinearWeight& w;
    std::uint32_t row;
    std::vector<int> numbers = {};

    int nibble(std::size_t i) const { return i % 2 == 0 ? w.codes[i / 2] & 15 : w.codes[i / 2] >> 4; }
    void fill() {
        numbers.resize(w.k);
        const std::size_t first = std::size_t{row} * w.k, groups = w.k / group_size(w);
        std::size_t kept = 0;
        for (std::uint32_t c = 0; c < w.k; ++c) {
            const std::size_t i = first + c, g = std::size_t{row} * groups + c / group_size(w);
            switch (w.format) {
                case WeightFormat::kInt4Group: numbers[c] = nibble(i); break;
                case WeightFormat::kInt4Residual: numbers[c] = 4 * nibble(i) + (w.low[i / 4] >> (i % 4 * 2) & 3) - w.zeros[g]; break;
                case WeightFormat::kInt4Sparse: {
                    if (c % w.group == 0) kept = (first + c) / 4;
                    if ((w.mask[i / 8] >> (i % 8) & 1) != 0) {
                        const int low = kept % 2 == 0 ? w.low[kept / 2] & 15 : w.low[kept / 2] >> 4;
                        ++kept;
                        numbers[c] = static_cast<std::int8_t>(nibble(i) << 4 | low);
                    } else {
                        numbers[c] = (nibble(i) - 8) * w.multiples[g];
                    }
                    break;
                }
                default: numbers[c] = static_cast<std::int8_t>(w.codes[i]); break;
            }
        }
    }
};

void put_half(std::uint16_t h, std::vector<std::byte>& out) {
    std::byte raw[2];
    std::memcpy(raw, &h, 2);
    out.insert(out.end(), raw, raw + 2);
}

/// Counts a block's weights that are not what they were.
void compare(const float* is, const float* was, float scale, BlockLoss& loss) {
    for (std::uint32_t i = 0; i < kBlock; ++i) {
        if (is[i] == was[i]) continue;
        ++loss.weights;
        loss.largest = std::max(loss.largest, scale == 0 ? 0 : std::fabs((is[i] - was[i]) / scale));
    }
}

}  // namespace

std::optional<GgmlType> ggml_type_for(const LinearWeight& w) {
    if (w.format == WeightFormat::kF32) return GgmlType::kF32;
    if (w.format == WeightFormat::kF16) return GgmlType::kF16;
    if (w.format == WeightFormat::kBF16) return GgmlType::kBF16;
    if (w.format == WeightFormat::kNf4Group || w.format == WeightFormat::kFp8Channel || !w.group_index.empty()) return std::nullopt;
    if (w.k % kBlock != 0 || group_size(w) % kBlock != 0) return std::nullopt;
    if (w.format != WeightFormat::kInt4Group) return GgmlType::kQ8_0;
    return centered(w) ? GgmlType::kQ4_0 : GgmlType::kQ4_1;
}

void append_row(const LinearWeight& w, GgmlType type, std::uint32_t row, std::vector<std::byte>& out, BlockLoss& loss) {
    const std::size_t first = std::size_t{row} * w.k;
    if (type == GgmlType::kF32) {
        const auto bytes = std::as_bytes(std::span(w.f32).subspan(first, w.k));
        out.insert(out.end(), bytes.begin(), bytes.end());
        return;
    }
    if (type == GgmlType::kF16 || type == GgmlType::kBF16) {
        const auto bytes = std::as_bytes(std::span(w.half).subspan(first, w.k));
        out.insert(out.end(), bytes.begin(), bytes.end());
        return;
    }
    RowNumbers r{w, row};
    r.fill();
    const std::size_t groups = w.k / group_size(w);
    float was[kBlock], is[kBlock];
    for (std::uint32_t begin = 0; begin < w.k; begin += kBlock) {
        const std::size_t g = std::size_t{row} * groups + begin / group_size(w);
        const float scale = w.scales[g];
        const int* q = r.numbers.data() + begin;
        const std::uint16_t d = float_to_fp16(scale);
        const std::size_t at = out.size();
        put_half(d, out);
        const int zero = w.format == WeightFormat::kInt4Group ? w.zeros[g] : 0;
        for (std::uint32_t i = 0; i < kBlock; ++i) was[i] = static_cast<float>(q[i] - zero) * scale;
        if (type == GgmlType::kQ8_0) {
            for (std::uint32_t i = 0; i < kBlock; ++i) out.push_back(static_cast<std::byte>(static_cast<std::int8_t>(q[i])));
        } else {
            if (type == GgmlType::kQ4_1) put_half(float_to_fp16(static_cast<float>(-zero) * fp16_to_float(d)), out);
            for (std::uint32_t i = 0; i < kBlock / 2; ++i) out.push_back(static_cast<std::byte>(q[i] | q[i + kBlock / 2] << 4));
        }
        dequantize_blocks(type, out.data() + at, 1, is);
        compare(is, was, scale, loss);
    }
}

BlockLoss block_loss(const LinearWeight& w, GgmlType type) {
    BlockLoss loss;
    std::vector<std::byte> row;
    for (std::uint32_t n = 0; n < w.n; ++n) {
        row.clear();
        append_row(w, type, n, row, loss);
    }
    return loss;
}

}  // namespace tenpak::quant

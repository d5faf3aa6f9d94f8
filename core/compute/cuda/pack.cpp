// SPDX-License-Identifier: Apache-2.0
#include "core/compute/cuda/pack.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <cstring>
#include <new>
#include <optional>

#include "core/base/half.h"
#include "core/compute/cuda/layout.h"

namespace tenpak::compute {
namespace {

using gpu::kColumnBlock;
using gpu::kRowTile;

std::uint32_t padded_rows(std::uint32_t n) { return (n + gpu::kRowPadding - 1) / gpu::kRowPadding * gpu::kRowPadding; }

std::uint32_t device_format(WeightFormat f) {
    switch (f) {
        case WeightFormat::kF32: return TENPAK_CUDA_WEIGHT_FP32;
        case WeightFormat::kBF16: return TENPAK_CUDA_WEIGHT_BF16;
        case WeightFormat::kF16: return TENPAK_CUDA_WEIGHT_FP16;
        case WeightFormat::kInt8Channel: return TENPAK_CUDA_WEIGHT_INT8_CHANNEL;
        case WeightFormat::kInt8Group: return TENPAK_CUDA_WEIGHT_INT8_GROUP;
        case WeightFormat::kInt4Group: return TENPAK_CUDA_WEIGHT_INT4;
        case WeightFormat::kInt4Residual: return TENPAK_CUDA_WEIGHT_INT4_RESIDUAL;
        case WeightFormat::kInt4Sparse: return TENPAK_CUDA_WEIGHT_INT4_SPARSE;
        case WeightFormat::kNf4Group: return TENPAK_CUDA_WEIGHT_NF4;
        case WeightFormat::kFp8Channel: return TENPAK_CUDA_WEIGHT_FP8_CHANNEL;
    }
    return TENPAK_CUDA_WEIGHT_FP32;
}

void pack_dense(const LinearWeight& w, CudaWeight& out) {
    const bool fp32 = w.format == WeightFormat::kF32;
    out.shape.format = device_format(w.format);
    out.shape.stride = (w.k + 7) / 8 * 8;
    const std::size_t each = fp32 ? 4 : 2, row = out.shape.stride * each;
    out.codes.resize(w.n * row / 4);
    const auto* from = fp32 ? reinterpret_cast<const std::byte*>(w.f32.data()) : reinterpret_cast<const std::byte*>(w.half.data());
    auto* to = reinterpret_cast<std::byte*>(out.codes.data());
    for (std::size_t r = 0; r < w.n; ++r) std::memcpy(to + r * row, from + r * w.k * each, w.k * each);
    out.kernel = weight_format_name(w.format);
}

// Packed rows: groups of `group` columns (0: the row has one scale), `parts` of them for one of the weight's.
struct Order {
    std::uint32_t columns = 0, group = 0, parts = 1;
    std::vector<std::uint32_t> source;  // [columns] columns of the weight, or none; empty: as they are
};

// Nothing where the packed form would be larger than fp32.
std::optional<Order> order_of(const LinearWeight& w) {
    Order o;
    o.columns = w.k;
    if (w.format == WeightFormat::kInt4Sparse && w.k / 4 > 0xffff) return {};  // the kept weights of a row are counted in 16 bit
    if (w.group == 0 || w.group == w.k) return o;
    const std::uint32_t padded = (w.group + 31) / 32 * 32, bits = gpu::words_per_tile(device_format(w.format)) * 32 / (kRowTile * kColumnBlock);
    if (std::uint64_t{padded} * bits > std::uint64_t{w.group} * 32) return {};
    o.group = 32u << std::countr_zero(padded / 32);
    o.parts = padded / o.group;
    if (padded == w.group && w.group_index.empty()) return o;
    o.columns = w.k / w.group * padded;
    o.source.assign(o.columns, TENPAK_CUDA_NO_COLUMN);
    std::vector<std::uint32_t> used(w.k / w.group);
    for (std::uint32_t c = 0; c < w.k; ++c) {
        const std::uint32_t g = w.group_index.empty() ? c / w.group : w.group_index[c];
        o.source[g * padded + used[g]++] = c;
    }
    return o;
}

// Scales relative to a power of two, so that fp16's range is enough.
void pack_scales(const LinearWeight& w, const Order& order, CudaWeight& out) {
    // Groups of 32 that are only padding have scale 0.
    const std::uint32_t stored = out.shape.groups, groups = w.group == 0 ? 1 : w.k / w.group;
    out.row_scales.assign(padded_rows(w.n), 1.0f);
    out.scales.assign(std::size_t{padded_rows(w.n)} * stored, 0);
    for (std::uint32_t r = 0; r < w.n; ++r) {
        const float* const scales = w.scales.data() + std::size_t{r} * groups;
        float top = 0;
        for (std::uint32_t g = 0; g < groups; ++g) top = std::max(top, std::fabs(scales[g]));
        int exponent = 0;
        if (top > 0) std::frexp(top, &exponent);
        exponent = std::max(exponent, -125);  // the power itself must be a normal number
        out.row_scales[r] = std::ldexp(1.0f, exponent);
        for (std::uint32_t g = 0; g < groups * order.parts; ++g)
            out.scales[gpu::scale_place(r, g, stored)] = float_to_fp16(std::ldexp(scales[g / order.parts], -exponent));
    }
    const bool sparse = w.format == WeightFormat::kInt4Sparse;
    const std::vector<std::uint8_t>& zeros = sparse ? w.multiples : w.zeros;
    const auto usual = static_cast<std::uint8_t>(gpu::usual_zeros(out.shape.format) & 0xffu);
    if (!gpu::has_zeros(out.shape.format) || (!sparse && std::all_of(zeros.begin(), zeros.end(), [&](std::uint8_t z) { return z == usual; }))) return;
    out.zeros.assign(out.scales.size(), usual);
    for (std::uint32_t r = 0; r < w.n; ++r)
        for (std::uint32_t g = 0; g < groups * order.parts; ++g) out.zeros[gpu::scale_place(r, g, stored)] = zeros[std::size_t{r} * groups + g / order.parts];
}

// A row's codes in the packed order, and beside them the 2-bit residual, or 16 + the low 4 bits of a kept weight. Zeros where nothing is.
struct Row {
    std::vector<std::uint8_t> code, extra;
};
void unpack_row(const LinearWeight& w, std::uint32_t row, Row& out) {
    const std::size_t at = std::size_t{row} * w.k;
    const bool nibbles = w.format != WeightFormat::kInt8Channel && w.format != WeightFormat::kInt8Group && w.format != WeightFormat::kFp8Channel;
    for (std::size_t c = 0; c < w.k; ++c) out.code[c] = nibbles ? w.codes[(at + c) / 2] >> ((at + c) % 2 * 4) & 15 : w.codes[at + c];
    if (w.format == WeightFormat::kInt4Residual) {
        for (std::size_t c = 0; c < w.k; ++c) out.extra[c] = w.low[(at + c) / 4] >> ((at + c) % 4 * 2) & 3;
    } else if (w.format == WeightFormat::kInt4Sparse) {
        std::size_t kept = at / 4;  // exactly a quarter of all rows before
        for (std::size_t c = 0; c < w.k; ++c) {
            out.extra[c] = 0;
            if ((w.mask[(at + c) / 8] >> ((at + c) % 8) & 1) == 0) continue;
            out.extra[c] = static_cast<std::uint8_t>(16 | (w.low[kept / 2] >> (kept % 2 * 4) & 15));
            ++kept;
        }
    }
}
void in_order(const Row& from, const Order& order, Row& to) {
    for (std::uint32_t c = 0; c < order.columns; ++c) {
        if (order.source[c] == TENPAK_CUDA_NO_COLUMN) continue;
        to.code[c] = from.code[order.source[c]];
        to.extra[c] = from.extra[order.source[c]];
    }
}

using Places = std::array<gpu::CodePlace, kRowTile * kColumnBlock>;
template <class Place>
Places places(const Place& place) {
    Places p;
    for (std::uint32_t i = 0; i < p.size(); ++i) p[i] = place(i / kColumnBlock, i % kColumnBlock);
    return p;
}

// One row of a tile row: `to` is its first tile.
void pack_row(const Row& row, std::uint32_t r, const CudaWeight& w, const Places& codes, std::uint32_t* to, std::uint32_t* low) {
    static const Places residual = places(gpu::residual_place), masks = places(gpu::mask_place);
    const std::uint32_t words = gpu::words_per_tile(w.shape.format), flip = w.shape.format == TENPAK_CUDA_WEIGHT_INT8_GROUP ? 0x80 : 0;
    std::uint32_t kept = 0;
    for (std::uint32_t kb = 0; kb < w.shape.blocks; ++kb, to += words) {
        const gpu::CodePlace* const place = codes.data() + r * kColumnBlock;
        const std::uint8_t *const code = row.code.data() + kb * kColumnBlock, *const extra = row.extra.data() + kb * kColumnBlock;
        for (std::uint32_t c = 0; c < kColumnBlock; ++c) to[place[c].word] |= (code[c] ^ flip) << place[c].shift;
        if (w.shape.format == TENPAK_CUDA_WEIGHT_INT4_RESIDUAL) {
            for (std::uint32_t c = 0; c < kColumnBlock; ++c) to[residual[r * kColumnBlock + c].word] |= std::uint32_t{extra[c]} << residual[r * kColumnBlock + c].shift;
        } else if (w.shape.format == TENPAK_CUDA_WEIGHT_INT4_SPARSE) {
            const gpu::CodePlace start = gpu::start_place(r);
            to[start.word] |= kept << start.shift;
            std::array<std::uint8_t, kColumnBlock> sorted{};
            for (std::uint32_t c = 0; c < kColumnBlock; ++c) {
                sorted[gpu::sparse_bit(c)] = extra[c];
                to[masks[r * kColumnBlock + c].word] |= static_cast<std::uint32_t>(extra[c] >> 4) << masks[r * kColumnBlock + c].shift;
            }
            for (const std::uint8_t e : sorted) {
                if (e == 0) continue;
                low[kept / 8] |= (e & 15u) << (kept % 8 * 4);
                ++kept;
            }
        }
    }
}

void pack_codes(const LinearWeight& w, const Order& order, CudaWeight& out) {
    static const Places int4 = places(gpu::int4_place), group = places(gpu::int8_group_place), channel = places(gpu::int8_channel_place);
    const std::uint32_t format = out.shape.format, blocks = out.shape.blocks, words = gpu::words_per_tile(format), rows = padded_rows(w.n);
    const bool bytes = words == gpu::kWordsInt8;
    const Places& places = !bytes ? int4 : format == TENPAK_CUDA_WEIGHT_INT8_CHANNEL ? channel : group;
    out.codes.assign(std::size_t{rows} / kRowTile * blocks * words, 0);
    const bool sparse = format == TENPAK_CUDA_WEIGHT_INT4_SPARSE;
    if (sparse) out.low.assign(std::size_t{rows} * blocks * 2 + 2, 0);
    const std::size_t columns = std::size_t{blocks} * kColumnBlock;
    Row row{std::vector<std::uint8_t>(std::max<std::size_t>(columns, w.k)), std::vector<std::uint8_t>(std::max<std::size_t>(columns, w.k))}, ordered = row;
    for (std::uint32_t r = 0; r < w.n; ++r) {
        unpack_row(w, r, row);
        if (!order.source.empty()) in_order(row, order, ordered);
        pack_row(order.source.empty() ? row : ordered, r % kRowTile, out, places, out.codes.data() + std::size_t{r / kRowTile} * blocks * words, sparse ? out.low.data() + std::size_t{r} * blocks * 2 : nullptr);
    }
}

}  // namespace

std::uint64_t CudaWeight::bytes() const {
    return std::uint64_t{codes.size()} * 4 + scales.size() * 2 + zeros.size() + (row_scales.size() + bias.size() + low.size() + columns.size()) * 4;
}

Result<CudaWeight> pack_for_cuda(const LinearWeight& w) {
    TENPAK_RETURN_IF_ERROR(w.validate("a weight for CUDA"));
    try {
        CudaWeight out;
        const bool dense = w.format == WeightFormat::kF32 || w.format == WeightFormat::kBF16 || w.format == WeightFormat::kF16;
        const std::optional<Order> order = dense ? std::nullopt : order_of(w);
        if (dense) {
            pack_dense(w, out);
        } else if (!order) {
            LinearWeight plain;
            plain.n = w.n;
            plain.k = w.k;
            plain.f32 = w.dequantize();
            pack_dense(plain, out);
            out.kernel = std::string(weight_format_name(w.format)) + " " + std::to_string(w.group) + " as fp32";
        } else {
            out.shape.format = device_format(w.format);
            out.shape.blocks = (order->columns + kColumnBlock - 1) / kColumnBlock;
            out.shape.group_shift = order->group == 0 ? 31 : static_cast<std::uint32_t>(std::countr_zero(order->group)) - 5;
            out.shape.groups = order->group == 0 ? 1 : order->group == 32 ? out.shape.blocks * 2 : order->columns / order->group;
            out.shape.outlier_threshold = w.outlier_threshold;
            out.kernel = std::string(weight_format_name(w.format)) + (w.group != 0 ? " " + std::to_string(w.group) : "") + (w.outlier_threshold > 0 ? ", outliers in fp32" : "") +
                         (order->source.empty() ? "" : ", columns in the order of groups");
            if (gpu::has_row_scale(out.shape.format)) {
                out.row_scales = w.scales;
                out.row_scales.resize(padded_rows(w.n), 0.0f);
                if (w.format == WeightFormat::kFp8Channel)  // codes are multiplied as a 256th of their value
                    for (float& s : out.row_scales) s *= 256.0f;
            } else {
                pack_scales(w, *order, out);
            }
            pack_codes(w, *order, out);
            out.columns = order->source;
            if (!out.columns.empty()) out.columns.resize(std::size_t{out.shape.blocks} * kColumnBlock, TENPAK_CUDA_NO_COLUMN);
        }
        out.shape.n = w.n;
        out.shape.k = w.k;
        out.bias = w.bias;
        return out;
    } catch (const std::bad_alloc&) {
        return make_error(ErrorCode::kOutOfMemory, "no memory to pack a weight for the GPU");
    }
}

}  // namespace tenpak::compute

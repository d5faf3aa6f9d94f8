// SPDX-License-Identifier: Apache-2.0
#include "core/compute/cuda/pack.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <new>

#include "core/base/half.h"
#include "core/compute/cuda/layout.h"

namespace tenpak::compute {
namespace {

using gpu::kColumnBlock;
using gpu::kRowTile;

std::uint32_t padded_rows(std::uint32_t n) { return (n + gpu::kRowPadding - 1) / gpu::kRowPadding * gpu::kRowPadding; }

void pack_dense(const LinearWeight& w, CudaWeight& out) {
    const bool fp32 = w.format == WeightFormat::kF32;
    out.shape.format = fp32 ? TENPAK_CUDA_WEIGHT_FP32 : w.format == WeightFormat::kBF16 ? TENPAK_CUDA_WEIGHT_BF16 : TENPAK_CUDA_WEIGHT_FP16;
    out.shape.stride = (w.k + 7) / 8 * 8;
    const std::size_t each = fp32 ? 4 : 2, row = out.shape.stride * each;
    out.codes.resize(w.n * row / 4);
    const auto* from = fp32 ? reinterpret_cast<const std::byte*>(w.f32.data()) : reinterpret_cast<const std::byte*>(w.half.data());
    auto* to = reinterpret_cast<std::byte*>(out.codes.data());
    for (std::size_t r = 0; r < w.n; ++r) std::memcpy(to + r * row, from + r * w.k * each, w.k * each);
    out.kernel = weight_format_name(w.format);
}

bool packable(const LinearWeight& w) {
    if (w.format > WeightFormat::kInt4Group || !w.group_index.empty() || w.outlier_threshold > 0) return false;
    return w.group == 0 || w.group == w.k || (w.group >= 32 && std::has_single_bit(w.group));
}

// Scales relative to a power of two, so that fp16's range is enough.
void pack_scales(const LinearWeight& w, CudaWeight& out) {
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
        for (std::uint32_t g = 0; g < groups; ++g) out.scales[gpu::scale_place(r, g, stored)] = float_to_fp16(std::ldexp(scales[g], -exponent));
    }
    if (w.format != WeightFormat::kInt4Group || std::all_of(w.zeros.begin(), w.zeros.end(), [](std::uint8_t z) { return z == 8; })) return;
    out.zeros.assign(out.scales.size(), 8);
    for (std::uint32_t r = 0; r < w.n; ++r)
        for (std::uint32_t g = 0; g < groups; ++g) out.zeros[gpu::scale_place(r, g, stored)] = w.zeros[std::size_t{r} * groups + g];
}

// Four neighbouring codes of a row, a byte each; zero behind the end (the activations there are zero).
std::uint32_t four_codes(const LinearWeight& w, std::uint32_t row, std::uint32_t column) {
    if (row >= w.n || column >= w.k) return 0;
    std::uint32_t v = 0;
    const std::uint32_t count = std::min(4u, w.k - column);
    const std::size_t at = std::size_t{row} * w.k + column;
    for (std::uint32_t i = 0; i < count; ++i) {
        const std::uint32_t code = w.format == WeightFormat::kInt4Group ? std::uint32_t{w.codes[(at + i) / 2]} >> ((at + i) % 2 * 4) & 15u : std::uint32_t{w.codes[at + i]};
        v |= code << (8 * i);
    }
    return v;
}

// The places are those of layout.h, by which the tests check this.
void pack_codes(const LinearWeight& w, CudaWeight& out) {
    const std::uint32_t blocks = out.shape.blocks, words = gpu::words_per_tile(out.shape.format);
    out.codes.resize(std::size_t{padded_rows(w.n)} / kRowTile * blocks * words);
    std::uint32_t* to = out.codes.data();
    for (std::uint32_t row = 0; row < padded_rows(w.n); row += kRowTile) {
        for (std::uint32_t kb = 0; kb < blocks; ++kb, to += words) {
            for (std::uint32_t lane = 0; lane < 32; ++lane) {
                const std::uint32_t g = row + lane / 4, column = kb * kColumnBlock, t = lane % 4;
                if (out.shape.format == TENPAK_CUDA_WEIGHT_INT4) {
                    for (std::uint32_t step = 0; step < 4; ++step) {
                        const std::uint32_t a = four_codes(w, g, column + step * 16 + t * 4), b = four_codes(w, g + 8, column + step * 16 + t * 4);
                        const auto code = [](std::uint32_t v, unsigned i) { return v >> (8 * i) & 15u; };
                        to[lane * 4 + step] = code(a, 0) | code(b, 0) << 4 | code(a, 2) << 8 | code(b, 2) << 12 | code(a, 1) << 16 | code(b, 1) << 20 | code(a, 3) << 24 | code(b, 3) << 28;
                    }
                } else if (out.shape.format == TENPAK_CUDA_WEIGHT_INT8_GROUP) {
                    for (std::uint32_t step = 0; step < 4; ++step) {
                        for (std::uint32_t high = 0; high < 2; ++high) {
                            to[(step / 2 * 32 + lane) * 4 + step % 2 * 2 + high] = four_codes(w, g + 8 * high, column + step * 16 + t * 4) ^ 0x80808080u;
                        }
                    }
                } else {
                    for (std::uint32_t step = 0; step < 2; ++step) {
                        for (std::uint32_t r = 0; r < 4; ++r) to[(step * 32 + lane) * 4 + r] = four_codes(w, g + r % 2 * 8, column + step * 32 + t * 8 + r / 2 * 4);
                    }
                }
            }
        }
    }
}

}  // namespace

std::uint64_t CudaWeight::bytes() const {
    return std::uint64_t{codes.size()} * 4 + scales.size() * 2 + zeros.size() + (row_scales.size() + bias.size()) * 4;
}

Result<CudaWeight> pack_for_cuda(const LinearWeight& w) {
    TENPAK_RETURN_IF_ERROR(w.validate("a weight for CUDA"));
    try {
        CudaWeight out;
        const bool dense = w.format == WeightFormat::kF32 || w.format == WeightFormat::kBF16 || w.format == WeightFormat::kF16;
        if (dense) {
            pack_dense(w, out);
        } else if (!packable(w)) {
            LinearWeight plain;
            plain.n = w.n;
            plain.k = w.k;
            plain.f32 = w.dequantize();
            pack_dense(plain, out);
            out.kernel = std::string(weight_format_name(w.format)) + " " + std::to_string(w.group) + " as fp32";
        } else {
            out.shape.blocks = (w.k + kColumnBlock - 1) / kColumnBlock;
            const bool whole_row = w.group == 0 || w.group == w.k;
            out.shape.group_shift = whole_row ? 31 : static_cast<std::uint32_t>(std::countr_zero(w.group)) - 5;
            out.shape.groups = whole_row ? 1 : w.group == 32 ? out.shape.blocks * 2 : w.k / w.group;
            out.kernel = std::string(weight_format_name(w.format)) + (w.group != 0 ? " " + std::to_string(w.group) : "");
            if (w.format == WeightFormat::kInt8Channel) {
                out.shape.format = TENPAK_CUDA_WEIGHT_INT8_CHANNEL;
                out.row_scales = w.scales;
                out.row_scales.resize(padded_rows(w.n), 0.0f);
            } else {
                out.shape.format = w.format == WeightFormat::kInt4Group ? TENPAK_CUDA_WEIGHT_INT4 : TENPAK_CUDA_WEIGHT_INT8_GROUP;
                pack_scales(w, out);
            }
            pack_codes(w, out);
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
